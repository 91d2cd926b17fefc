// What the driver and its monitors write down and read back, and what they say to each other.

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "model/labels.hpp"
#include "model/task_exit.hpp"
#include "runtime/apple_login_mark.hpp"
#include "runtime/exit_record.hpp"
#include "runtime/kept_references.hpp"
#include "runtime/log_position.hpp"
#include "runtime/monitor_clients.hpp"
#include "runtime/monitor_files.hpp"
#include "runtime/monitor_lines.hpp"
#include "runtime/monitor_link.hpp"
#include "runtime/monitor_spool.hpp"
#include "runtime/state_leftovers.hpp"
#include "runtime/text_fields.hpp"
#include "runtime/unique_fd.hpp"
#include "scratch.hpp"
#include "targets.hpp"

namespace ndc::runtime {
namespace {

void exit_record(std::string_view input) {
  const auto record = parse_exit_record(input);
  if (!record) return;
  fuzz::require(parse_exit_record(exit_record_text(*record)) == record,
                "a record comes back as it was");
  fuzz::require(record->value >= 0, "neither code, signal nor error is below zero");
  fuzz::require(record->kind != ExitRecord::Kind::kExited || record->value <= 255,
                "an exit code is one");
  fuzz::require(WallTime{std::chrono::milliseconds{record->at_ms}} >= WallTime{},
                "a time is one that can be told");
}

void log_position(std::string_view input) {
  const auto position = parse_log_position(input);
  if (!position) return;
  const std::string text = log_position_text(*position);
  fuzz::require(parse_log_position(text) == position, "a position comes back as it was");
  fuzz::require(text.size() == log_position_text({}).size(), "each covers the one before");
}

void login_mark(std::string_view input) {
  const auto mark = parse_login_mark(input);
  if (!mark) return;
  fuzz::require(parse_login_mark(login_mark_text(*mark)) == mark, "a mark comes back as it was");
}

void owner(std::string_view input) {
  const auto labels = parse_owner(input);
  const auto again = parse_owner(owner_text(labels));
  for (const char* const name : {kLabelNodeId, kLabelAllocId, kLabelTaskId}) {
    const auto before = labels.find(name);
    const auto after = again.find(name);
    fuzz::require((before == labels.end()) == (after == again.end()), "no label is lost or made");
    fuzz::require(after == again.end() || after->second == before->second,
                  "a label comes back as it was");
  }
}

void kept_references(std::string_view input) {
  const KeptReferences kept = parse_kept_references(input);
  const KeptReferences again = parse_kept_references(kept_references_text(kept.references));
  fuzz::require(again.references == kept.references && again.refused.empty(),
                "references come back as they were");
}

void monitor_lines(std::string_view input) {
  fuzz::require(parse_monitor_news(input).cli >= 0, "a process id is one");
  fuzz::require(parse_monitor_lock(input) != 0, "a monitor is named by its process id, or not");
  const std::string heard{input.substr(0, 512)};  // what waits for its end at most
  std::string pending = heard;
  std::string lines;
  for (std::string line; take_line(pending, line);) lines += line + "\n";
  fuzz::require(lines + pending == heard && pending.find('\n') == std::string::npos,
                "each line is heard once, and what is none yet waits");
  const MonitorOrder order = parse_monitor_order(input);
  if (order.kind != MonitorOrder::Kind::kResize) return;
  const MonitorOrder again = parse_monitor_order("resize " + std::to_string(order.rows) + " " +
                                                 std::to_string(order.columns));
  fuzz::require(again.rows == order.rows && again.columns == order.columns && order.rows > 0 &&
                    order.columns > 0,
                "a size comes back as it was");
}

// The monitor's end of its socket, and a client that sends the input and is gone.
void monitor_clients(std::string_view input) {
  struct Obeyed final : MonitorClients::Orders {
    std::vector<std::string> lines;
    void obey(const char* line) override { lines.emplace_back(line); }
  };
  static const fuzz::Scratch scratch;
  static const std::string path = scratch / "s";
  static MonitorClients clients{listen_on(path.c_str())};
  input = input.substr(0, 4096);  // what a socket takes at once, everywhere

  const UniqueFd client{::socket(AF_UNIX, SOCK_STREAM, 0)};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  fuzz::require(path.size() < sizeof address.sun_path, "the path is short enough");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  fuzz::require(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
                "the monitor listens");
  clients.accept("running 1\n");
  const auto size = static_cast<ssize_t>(input.size());
  fuzz::require(::write(client.get(), input.data(), input.size()) == size, "all of it is sent");
  ::shutdown(client.get(), SHUT_WR);
  Obeyed obeyed;
  pollfd fds[MonitorClients::kPolled];
  while (true) {
    clients.fill(fds);
    const int ready = ::poll(fds, MonitorClients::kPolled, 0);
    if (ready == 0) break;  // it has been let go
    if (ready > 0) clients.serve(fds, obeyed);
  }

  std::vector<std::string> expected;
  for (std::string_view line; take_until(input, line, '\n');) {
    if (line.size() > 62 || line.find('\0') != std::string_view::npos) break;
    expected.emplace_back(line);
  }
  fuzz::require(obeyed.lines == expected, "each line is heard, up to the first that is none");
}

// The input is the file.
void spool(std::string_view input) {
  static const fuzz::Scratch scratch;
  static const std::string path = scratch / "spool.out";
  std::ofstream{path, std::ios::binary | std::ios::trunc} << input;
  const std::uint64_t held = Spool::pending_in(path.c_str());
  fuzz::require(held == 0 || !Spool::damaged(path.c_str()), "what is damaged is not delivered");
  Spool first{path.c_str()};
  fuzz::require(first.restore() && first.pending() == held, "a successor finds what is pending");
  fuzz::require(first.append("more", 4), "there is room for more");
  Spool second{path.c_str()};  // the first was killed
  fuzz::require(second.restore() && second.pending() == held + 4, "the next one finds all of it");
  std::string out;
  char buffer[4096];
  while (const std::size_t size = second.peek(buffer, sizeof buffer)) {
    out.append(buffer, size);
    second.consume(size);
  }
  fuzz::require(out == std::string{input.substr(input.size() - held)} + "more",
                "it comes in its order");
  fuzz::require(Spool::pending_in(path.c_str()) == 0 && !Spool::damaged(path.c_str()),
                "what was delivered is pending no more");
}

}  // namespace
}  // namespace ndc::runtime

namespace ndc::fuzz {

std::vector<Target> state_targets() {
  return {{"exit_record", runtime::exit_record},         {"log_position", runtime::log_position},
          {"login_mark", runtime::login_mark},           {"owner", runtime::owner},
          {"kept_references", runtime::kept_references}, {"monitor_lines", runtime::monitor_lines},
          {"monitor_clients", runtime::monitor_clients}, {"spool", runtime::spool}};
}

}  // namespace ndc::fuzz
