#include "runtime/port_owner_linux.hpp"

#include <dirent.h>
#include <unistd.h>

#include <charconv>
#include <memory>

#include "model/error.hpp"
#include "runtime/proc_linux.hpp"
#include "runtime/state_directory.hpp"

namespace ndc::runtime {
namespace {

constexpr std::size_t kMaxTable = 8u << 20;
constexpr std::string_view kListening = "0A";

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> out;
  while (true) {
    const std::size_t begin = line.find_first_not_of(' ');
    if (begin == std::string_view::npos) return out;
    line.remove_prefix(begin);
    const std::size_t end = line.find(' ');
    out.push_back(line.substr(0, end));
    if (end == std::string_view::npos) return out;
    line.remove_prefix(end);
  }
}

template <class Number>
std::optional<Number> number(std::string_view text, int base) {
  Number out = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out, base);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return out;
}

bool holds_one_of(pid_t pid, const std::set<std::string>& sockets) {
  const std::string path = "/proc/" + std::to_string(pid) + "/fd";
  const std::unique_ptr<DIR, int (*)(DIR*)> directory{::opendir(path.c_str()), &::closedir};
  if (!directory) return false;
  while (const dirent* entry = ::readdir(directory.get())) {
    char target[64];
    const ssize_t size =
        ::readlink((path + "/" + entry->d_name).c_str(), target, sizeof target - 1);
    if (size <= 0) continue;
    const std::string_view socket = parse_socket({target, static_cast<std::size_t>(size)});
    if (sockets.contains(std::string{socket})) return true;
  }
  return false;
}

}  // namespace

std::optional<TakenPort> parse_taken_port(std::string_view reason) {
  constexpr std::string_view kInUse = ": bind: address already in use";
  const std::size_t end = reason.find(kInUse);
  if (end == std::string_view::npos) return std::nullopt;
  reason = reason.substr(0, end);
  const std::size_t listen = reason.rfind("listen ");
  const std::size_t colon = reason.rfind(':');
  if (listen == std::string_view::npos || colon == std::string_view::npos) return std::nullopt;
  const auto port = number<std::uint16_t>(reason.substr(colon + 1), 10);
  if (!port) return std::nullopt;
  const bool udp = reason.substr(listen).starts_with("listen udp");
  return TakenPort{udp ? Transport::kUdp : Transport::kTcp, *port};
}

std::set<std::string> parse_port_sockets(std::string_view table, const TakenPort& port) {
  std::set<std::string> out;
  while (!table.empty()) {
    const std::size_t end = table.find('\n');
    // sl local_address rem_address st queues timer retransmits uid timeout inode …
    const auto fields = words(table.substr(0, end));
    if (fields.size() > 9) {
      const std::size_t colon = fields[1].rfind(':');
      const auto local = colon == std::string_view::npos
                             ? std::nullopt
                             : number<std::uint16_t>(fields[1].substr(colon + 1), 16);
      const bool listens = port.transport == Transport::kUdp || fields[3] == kListening;
      if (local == port.port && listens) out.emplace(fields[9]);
    }
    if (end == std::string_view::npos) break;
    table.remove_prefix(end + 1);
  }
  return out;
}

std::string_view parse_socket(std::string_view link) {
  constexpr std::string_view kPrefix = "socket:[";
  if (!link.starts_with(kPrefix) || !link.ends_with(']')) return {};
  link.remove_prefix(kPrefix.size());
  link.remove_suffix(1);
  return link;
}

// conmon keeps the ports of its container; "-n" is followed by the container's name. Whoever holds
// a port may call itself so: what is no such name is not repeated.
std::string port_holder(pid_t pid, std::string_view comm,
                        const std::vector<std::string>& arguments) {
  if (comm.ends_with('\n')) comm.remove_suffix(1);
  for (std::size_t i = 0; comm == "conmon" && i + 1 < arguments.size(); ++i) {
    if (arguments[i] == "-n" && is_state_name(arguments[i + 1])) {
      return "container " + quoted(arguments[i + 1]);
    }
  }
  return "process " + std::to_string(pid) + " (" + quoted(comm) + ")";
}

std::string port_owner(const TakenPort& port) {
  std::set<std::string> sockets;
  const bool udp = port.transport == Transport::kUdp;
  for (const char* file :
       {udp ? "/proc/net/udp" : "/proc/net/tcp", udp ? "/proc/net/udp6" : "/proc/net/tcp6"}) {
    if (const auto table = read_file(file, kMaxTable)) {
      sockets.merge(parse_port_sockets(*table, port));
    }
  }
  if (sockets.empty()) return {};
  for (const pid_t pid : all_processes()) {
    if (!holds_one_of(pid, sockets)) continue;
    const auto comm = read_file("/proc/" + std::to_string(pid) + "/comm", 64);
    return port_holder(pid, comm.value_or(""), process_arguments(pid));
  }
  return {};
}

}  // namespace ndc::runtime
