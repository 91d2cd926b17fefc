#include "standin/session.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "standin/host_signals.hpp"
#include "standin/networks.hpp"
#include "standin/ports.hpp"
#include "standin/sandbox.hpp"
#include "standin/settings.hpp"
#include "standin/store.hpp"

namespace standin {
namespace {

int death_pipe = -1;
void on_death(int /*number*/) {
  const int kept = errno;
  const char byte = 0;
  [[maybe_unused]] const ssize_t wrote = write(death_pipe, &byte, 1);
  errno = kept;
}

void set_nonblocking(const Fd& fd) {
  if (fd) fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

Fd listen_here() {
  unlink(kSocketFile);
  Fd fd(socket(AF_UNIX, SOCK_STREAM, 0));
  fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", kSocketFile);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd.get(), 64) != 0) {
    fd.reset();
  }
  return fd;
}

}  // namespace

Session::Session(const std::string& id, const HelperOptions& options, Connection cli)
    : id_(id), options_(options), cli_(std::move(cli)) {}

std::string Session::begin(const Plan& plan) {
  signal(SIGPIPE, SIG_IGN);
  for (const int number : {SIGHUP, SIGINT, SIGTERM, SIGQUIT}) signal(number, SIG_IGN);
  sandbox_prepare_helper();
  Pipe death = make_pipe();
  set_nonblocking(death.write);
  set_nonblocking(death.read);
  death_ = std::move(death.read);
  death_pipe = death.write.release();
  struct sigaction action {};
  action.sa_handler = on_death;
  action.sa_flags = SA_RESTART | SA_NOCLDSTOP;
  sigaction(SIGCHLD, &action, nullptr);

  if (!options_.is_exec) {
    alive_ = lock_file(kAliveFile);
    unlink(kStateFile);  // of a helper that was killed, whose lock this one has now
    log_ = Fd(open(kLogFile, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
    listener_ = listen_here();
    if (!listener_) return "cannot listen for the container's commands";
    append_line("boot.log", "vm " + id_ + " boots");
    for (const auto& name : list_directory("execs")) unlink(("execs/" + name).c_str());
    std::string problem = publish(plan, &ports_, &published_);
    if (!problem.empty()) return problem;
  }
  tty_ = plan.tty;
  remove_after_ = plan.remove_after;
  // The workload gets the pipe itself: end of file is seen when the CLI closes it, or dies.
  Workload workload = start_workload(plan, tty_ ? Fd() : std::move(cli_.in));
  if (!workload.error.empty()) return workload.error;
  workload_ = workload.pid;
  streams_[0].source = std::move(workload.out);
  streams_[1].source = std::move(workload.err);
  streams_[0].sink = std::move(cli_.out);
  streams_[1].sink = std::move(cli_.err);
  if (tty_) input_ = std::move(cli_.in);
  for (auto& stream : streams_) {
    set_nonblocking(stream.source);
    set_nonblocking(stream.sink);
  }
  if (options_.is_exec) {
    write_file("execs/" + std::to_string(workload_), "");
  } else {
    started_ = unix_time();
    write_state("running");
  }
  tell_cli("started " + std::to_string(workload_));
  return {};
}

void Session::refuse(const std::string& problem) {
  unpublish();
  tell_cli("error " + problem);
}

// A machine that ends takes its sockets along; one that crashes leaves them to whoever comes next.
void Session::unpublish() {
  for (const auto& path : published_) unlink(path.c_str());
  published_.clear();
}

void Session::tell_cli(const std::string& line) {
  if (cli_.control && !write_all(cli_.control.get(), line + "\n")) cli_.control.reset();
}

void Session::write_state(const char* word) {
  char text[128];
  std::snprintf(text, sizeof text, "%s %ld %ld %ld %.6f\n", word, static_cast<long>(workload_),
                static_cast<long>(getpid()), options_.epoch, started_);
  write_file(kStateFile, text);
}

bool Session::drained() const {
  for (const auto& stream : streams_) {
    if (stream.source || stream.size != 0) return false;
  }
  return true;
}

int Session::timeout() const {
  int64_t at = 0;
  if (exited_) at = drain_until_;
  if (kill_at_ != 0 && (at == 0 || kill_at_ < at)) at = kill_at_;
  if (at == 0) return -1;
  return static_cast<int>(std::max<int64_t>(0, at - now_ms()));
}

void Session::run() {
  while (true) {
    std::array<pollfd, 24> polled{};
    nfds_t count = 0;
    const auto add = [&](const Fd& fd, short events) {
      polled[count] = {fd.get(), events, 0};
      return count++;
    };
    const auto death = add(death_, POLLIN);
    const auto control = add(cli_.control, POLLIN);
    const auto listener = add(listener_, POLLIN);
    const auto input = add(input_, POLLIN);
    std::array<nfds_t, 2> sources{};
    for (size_t i = 0; i < streams_.size(); ++i) {
      // One chunk at a time: a CLI that does not read stops the workload's writes.
      const auto& stream = streams_[i];
      sources[i] = stream.size != 0 ? add(stream.sink, POLLOUT) : add(stream.source, POLLIN);
    }
    const nfds_t first_client = count;
    for (const auto& client : clients_) add(client.fd, client.waits ? short{0} : short{POLLIN});

    poll(polled.data(), count, timeout());
    if (polled[death].revents != 0) reap();
    if (polled[control].revents != 0) read_control();
    if (polled[input].revents != 0) forward_input();
    for (size_t i = 0; i < streams_.size(); ++i) {
      if (polled[sources[i]].revents == 0) continue;
      if (streams_[i].size != 0) {
        flush(&streams_[i]);
      } else {
        fill(&streams_[i]);
      }
    }
    for (size_t i = 0; i < clients_.size(); ++i) {
      if (polled[first_client + i].revents != 0) read_client(&clients_[i]);
    }
    if (polled[listener].revents != 0) accept_client();
    if (kill_at_ != 0 && now_ms() >= kill_at_) kill_everything();
    if (exited_ && (drained() || now_ms() >= drain_until_)) return finish();
  }
}

void Session::fill(Stream* stream) {
  const ssize_t got = read(stream->source.get(), stream->buffer.data(), stream->buffer.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {  // a terminal ends with EIO
    stream->source.reset();
    stream->sink.reset();
    return;
  }
  stream->size = static_cast<size_t>(got);
  stream->sent = 0;
  flush(stream);
}

// First the CLI, then the log. When the CLI is gone, the log gets nothing more of this stream: that
// is how the imitated helper behaves.
void Session::flush(Stream* stream) {
  const bool attached = options_.attached;
  while (attached && stream->sink && stream->sent < stream->size) {
    const ssize_t wrote = write(stream->sink.get(), stream->buffer.data() + stream->sent,
                                stream->size - stream->sent);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EAGAIN) return;
    if (wrote < 0) {
      stream->sink.reset();
      break;
    }
    stream->sent += static_cast<size_t>(wrote);
  }
  if (!attached || stream->sink) log(*stream);
  stream->size = 0;
}

void Session::log(const Stream& stream) {
  if (!log_) return;
  [[maybe_unused]] const ssize_t wrote = write(log_.get(), stream.buffer.data(), stream.size);
}

void Session::forward_input() {
  char buffer[1024];
  const ssize_t got = read(input_.get(), buffer, sizeof buffer);
  if (got < 0 && errno == EINTR) return;
  if (got <= 0) {
    const char end = 4;  // ^D
    if (streams_[0].source) write_all(streams_[0].source.get(), std::string(1, end));
    input_.reset();
    return;
  }
  if (streams_[0].source) {
    write_all(streams_[0].source.get(), std::string(buffer, static_cast<size_t>(got)));
  }
}

void Session::read_control() {
  char buffer[256];
  const ssize_t got = read(cli_.control.get(), buffer, sizeof buffer - 1);
  if (got < 0 && errno == EINTR) return;
  if (got <= 0) {
    cli_.control.reset();  // the CLI is gone; the container is not
    return;
  }
  buffer[got] = '\0';
  for (char* line = std::strtok(buffer, "\n"); line != nullptr; line = std::strtok(nullptr, "\n")) {
    int first = 0;
    int second = 0;
    if (std::sscanf(line, "sig %d", &first) == 1) {
      if (!exited_) kill(workload_, to_host_signal(first));
    } else if (std::sscanf(line, "winsz %d %d", &first, &second) == 2 && tty_) {
      winsize size{};
      size.ws_row = static_cast<unsigned short>(first);
      size.ws_col = static_cast<unsigned short>(second);
      if (streams_[0].source) ioctl(streams_[0].source.get(), TIOCSWINSZ, &size);
    }
  }
}

void Session::accept_client() {
  Fd fd(accept(listener_.get(), nullptr, nullptr));
  if (!fd) return;
  fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  for (auto& client : clients_) {
    if (client.fd) continue;
    client.fd = std::move(fd);
    client.waits = false;
    return;
  }
}

void Session::read_client(Client* client) {
  char line[128];
  const ssize_t got = client->waits ? 0 : read(client->fd.get(), line, sizeof line - 1);
  if (got <= 0) {
    client->fd.reset();
    return;
  }
  line[got] = '\0';
  obey(client, line);
}

void Session::obey(Client* client, const char* line) {
  int number = 0;
  long seconds = 0;
  if (std::sscanf(line, "stop %d %ld", &number, &seconds) == 2) {
    if (!exited_) kill(workload_, to_host_signal(number));
    const int64_t at = now_ms() + std::max(0L, seconds) * 1000;
    if (kill_at_ == 0 || at < kill_at_) kill_at_ = at;
    client->waits = true;
    return;
  }
  if (std::sscanf(line, "killwait %d", &number) == 1) {
    if (!exited_) kill(workload_, to_host_signal(number));
    client->waits = true;
    return;
  }
  if (std::strncmp(line, "die", 3) == 0) {
    remove_after_ = false;
    kill_everything();
    client->waits = true;
    return;
  }
  if (std::sscanf(line, "kill %d", &number) == 1) {
    if (!exited_) kill(workload_, to_host_signal(number));
  } else if (std::strncmp(line, "lost", 4) == 0) {
    tell_cli("lost");
    cli_.control.reset();
  }
  write_all(client->fd.get(), "ok\n");
  client->fd.reset();
}

void Session::reap() {
  char buffer[64];
  while (read(death_.get(), buffer, sizeof buffer) > 0) {
  }
  int status = 0;
  pid_t gone = 0;
  while ((gone = waitpid(-1, &status, WNOHANG)) > 0) {
    if (gone != workload_) {
      // Its own children come to light one generation after the other.
      if (exited_ && !options_.is_exec) sandbox_sweep();
      continue;
    }
    exited_ = true;
    code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + to_linux_signal(WTERMSIG(status));
    drain_until_ = now_ms() + setting_ms("DRAIN_MS", 3000);
    // The machine ends with its first process; an exec leaves its children to the container.
    if (!options_.is_exec) kill_everything();
  }
}

void Session::kill_everything() {
  kill_at_ = 0;
  if (workload_ > 0) {
    kill(-workload_, SIGKILL);
    if (!exited_) kill(workload_, SIGKILL);
  }
  for (const auto& name : list_directory("execs")) {
    const long group = std::strtol(name.c_str(), nullptr, 10);
    if (group > 1) kill(static_cast<pid_t>(-group), SIGKILL);
  }
  if (exited_ && !options_.is_exec) sandbox_sweep();
}

void Session::finish() {
  for (auto& stream : streams_) {
    stream.source.reset();
    stream.sink.reset();
  }
  ports_.reset();
  unpublish();
  if (options_.is_exec) {
    // What the exec left running is still the container's: keep it listed.
    if (kill(-workload_, 0) != 0) unlink(("execs/" + std::to_string(workload_)).c_str());
    tell_cli("exit " + std::to_string(code_));
    return;
  }
  // The imitated CLI can return before the state turns: the exit is told first.
  tell_cli("exit " + std::to_string(code_));
  const int64_t lag = setting_ms("STATE_LAG_MS", 0);
  if (lag > 0) sleep_ms(lag);
  write_state("stopped");
  unlink(kSocketFile);
  for (auto& client : clients_) {
    if (client.fd) write_all(client.fd.get(), "ok\n");
  }
  if (remove_after_) {
    for (const auto& name : list_directory(".")) {
      if (!name.starts_with("address-")) continue;
      const auto number = read_file(name);
      if (number) release_address("../../leases/" + name.substr(8), *number);
    }
    const std::string dead = "../.dead-" + id_ + "-" + std::to_string(getpid());
    if (rename(("../" + id_).c_str(), dead.c_str()) == 0 && chdir("..") == 0) {
      remove_tree(dead.substr(3));
    }
  }
}

}  // namespace standin
