// The life of one workload inside a helper: an event loop over its streams, the attached CLI and
// the calls of other CLIs. No heap while it runs, no threads: there may be a thousand.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "standin/helper.hpp"
#include "standin/workload.hpp"

namespace standin {

class Session {
 public:
  Session(const std::string& id, const HelperOptions& options, Connection cli);

  /// In the container's directory. Returns why the workload did not start, or nothing.
  std::string begin(const Plan& plan);
  void refuse(const std::string& problem);
  /// Until the workload has exited and its output is delivered or given up.
  void run();

 private:
  // One direction of output: from the workload to the attached CLI, then to the log.
  struct Stream {
    Fd source;
    Fd sink;
    size_t size = 0;
    size_t sent = 0;
    std::array<char, 8192> buffer;
  };
  struct Client {
    Fd fd;
    bool waits = false;  // for the exit
  };

  void fill(Stream* stream);
  void flush(Stream* stream);
  void log(const Stream& stream);
  void forward_input();
  void read_control();
  void accept_client();
  void read_client(Client* client);
  void obey(Client* client, const char* line);
  void reap();
  void kill_everything();
  void finish();
  void unpublish();
  bool drained() const;
  int timeout() const;
  void write_state(const char* word);
  void tell_cli(const std::string& line);

  std::string id_;
  HelperOptions options_;
  Connection cli_;
  Fd alive_;
  Fd log_;
  Fd listener_;
  Fd death_;  // readable when a child has exited
  Fd ports_;
  std::vector<std::string> published_;  // sockets of the host
  Fd input_;                            // towards the terminal
  pid_t workload_ = -1;
  double started_ = 0;
  bool tty_ = false;
  bool remove_after_ = false;
  bool exited_ = false;
  int code_ = 0;
  int64_t kill_at_ = 0;
  int64_t drain_until_ = 0;
  std::array<Stream, 2> streams_;
  std::array<Client, 16> clients_;
};

}  // namespace standin
