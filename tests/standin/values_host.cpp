// Values that name things of this machine: ports, mounts, sockets, signals.
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <climits>

#include "standin/text.hpp"
#include "standin/values.hpp"

namespace standin {
namespace {

std::string absolute(const std::string& path) {
  if (path.starts_with('/')) return path;
  char cwd[PATH_MAX];
  if (getcwd(cwd, sizeof cwd) == nullptr) return path;
  return path == "." ? std::string(cwd) : std::string(cwd) + "/" + path;
}

struct Range {
  unsigned first = 0;
  unsigned last = 0;
};

Range parse_range(const std::string& whole, const std::string& text) {
  const auto parts = split(text, '-');
  Range range;
  const auto number = [&](const std::string& part) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    // Port 1 is refused as well: the range of valid ports starts one too late.
    if (part.empty() || error != std::errc() || end != part.data() + part.size() || value < 2 ||
        value > 65535) {
      fail("invalid publish port value: " + whole);
    }
    return value;
  };
  if (parts.size() > 2) fail("invalid publish value: " + whole);
  range.first = number(parts.front());
  range.last = number(parts.back());
  if (range.last < range.first) fail("invalid publish port range: " + whole);
  return range;
}

Port parse_port(Version version, const std::string& text) {
  Port port;
  std::string rest = text;
  port.protocol = "tcp";
  if (const auto slash = rest.find('/'); slash != std::string::npos) {
    port.protocol = rest.substr(slash + 1);
    rest.erase(slash);
    if (port.protocol != "tcp" && port.protocol != "udp") fail("invalid publish protocol: " + text);
  }
  port.host_address = "0.0.0.0";
  if (rest.starts_with('[')) {
    const auto close = rest.find("]:");
    if (close == std::string::npos) fail("invalid publish IPv6 address: " + text);
    port.host_address = rest.substr(1, close - 1);
    rest.erase(0, close + 2);
  } else if (std::count(rest.begin(), rest.end(), ':') == 2) {
    const auto colon = rest.find(':');
    port.host_address = rest.substr(0, colon);
    if (port.host_address.empty() ||
        port.host_address.find_first_not_of("0123456789.") != std::string::npos) {
      fail("invalid publish IPv4 address: " + text);
    }
    rest.erase(0, colon + 1);
  }
  const auto parts = split(rest, ':');
  if (parts.size() != 2) fail("invalid publish value: " + text);
  const Range host = parse_range(text, parts[0]);
  const Range inside = parse_range(text, parts[1]);
  if (host.last - host.first != inside.last - inside.first) {
    fail("publish host and container port counts are not equal: " + text);
  }
  if (is_old(version) && host.last == 65535) throw CliError(133, "arithmetic overflow");
  port.host_port = host.first;
  port.container_port = inside.first;
  port.count = host.last - host.first + 1;
  return port;
}

}  // namespace

std::vector<Port> parse_ports(Version version, const std::vector<std::string>& publishes) {
  std::vector<Port> ports;
  for (const auto& text : publishes) ports.push_back(parse_port(version, text));
  if (ports.size() > 64) fail("cannot exceed more than 64 port publish descriptors");
  // The host address is not looked at.
  for (size_t i = 0; i < ports.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      const Port& a = ports[i];
      const Port& b = ports[k];
      if (a.protocol == b.protocol && a.host_port < b.host_port + b.count &&
          b.host_port < a.host_port + a.count) {
        fail("host ports for different publish port specs may not overlap");
      }
    }
  }
  return ports;
}

Mount parse_volume(const std::string& text, bool host) {
  const auto parts = split(text, ':');
  Mount mount;
  if (text.empty() || parts.size() > 3) fail("invalid volume format " + text);
  if (parts.size() == 1) {
    mount.kind = Mount::Kind::volume;
    mount.destination = parts[0];
    return mount;
  }
  mount.source = parts[0];
  mount.destination = parts[1];
  if (mount.source.empty() || mount.destination.empty()) fail("invalid volume format " + text);
  if (parts.size() == 3) mount.options = split(parts[2], ',');
  if (mount.source.find('/') == std::string::npos && mount.source != "." && mount.source != "..") {
    mount.kind = Mount::Kind::volume;
    if (!is_volume_name(mount.source)) fail("invalid volume name '" + mount.source + "'");
    return mount;
  }
  mount.source = absolute(mount.source);
  if (host && access(mount.source.c_str(), F_OK) != 0) {
    fail("path '" + mount.source + "' does not exist");
  }
  return mount;
}

Mount parse_mount(const std::string& text, bool host) {
  Mount mount;
  std::string type;
  for (const auto& item : split(text, ',')) {
    std::vector<std::string> parts;
    for (auto& part : split(item, '=')) {
      if (!part.empty()) parts.push_back(std::move(part));
    }
    if (parts.empty() || parts.size() > 2) fail("invalid directive format missing value " + item);
    const std::string& key = parts[0];
    const std::string value = parts.size() == 2 ? parts[1] : "";
    if (key == "readonly" || key == "ro") {
      if (!value.empty()) fail("directive '" + key + "' takes no value");
      mount.options.emplace_back("ro");
      continue;
    }
    if (value.empty()) fail("invalid directive format missing value " + item);
    if (key == "type") {
      type = value;
      if (type == "bind" || type == "virtiofs") {
        mount.kind = Mount::Kind::bind;
      } else if (type == "volume") {
        mount.kind = Mount::Kind::volume;
      } else if (type == "tmpfs") {
        mount.kind = Mount::Kind::tmpfs;
      } else {
        fail("unsupported mount type " + type);
      }
    } else if (key == "source" || key == "src") {
      mount.source = value;
    } else if (key == "destination" || key == "dst" || key == "target") {
      mount.destination = value;
    } else if (key == "size" || key == "mode") {
      if (type != "tmpfs") fail("unsupported option " + key + " for mount type " + type);
      mount.options.push_back(key + "=" +
                              (key == "size" ? std::to_string(parse_memory(value)) : value));
    } else {
      fail("unknown directive " + key + " when parsing mount " + text);
    }
  }
  if (mount.destination.empty()) fail("mount has no destination: " + text);
  if (mount.kind == Mount::Kind::tmpfs) {
    mount.source = "tmpfs";
  } else if (mount.kind == Mount::Kind::volume) {
    if (!is_volume_name(mount.source)) fail("invalid volume name '" + mount.source + "'");
  } else {
    if (mount.source.empty()) fail("mount has no source: " + text);
    mount.source = absolute(mount.source);
    struct stat info {};
    if (host && stat(mount.source.c_str(), &info) != 0) {
      fail("path '" + mount.source + "' does not exist");
    }
    if (host && !S_ISDIR(info.st_mode)) fail("path '" + mount.source + "' is not a directory");
  }
  return mount;
}

std::vector<PublishedSocket> parse_sockets(const std::vector<std::string>& sockets) {
  std::vector<PublishedSocket> result;
  for (const auto& text : sockets) {
    const auto parts = split(text, ':');
    if (parts.size() != 2 || parts[0].empty() || parts[1].empty()) {
      fail("invalid publish-socket format " + text);
    }
    if (!parts[1].starts_with('/')) fail("container socket path must be absolute: " + parts[1]);
    result.push_back({absolute(parts[0]), parts[1]});
  }
  return result;
}

int parse_signal(Version version, const std::string& name) {
  struct Name {
    std::string_view name;
    int linux_number;
    int mac_number;
  };
  static constexpr std::array kNames = {
      Name{"HUP", 1, 1},    Name{"INT", 2, 2},      Name{"QUIT", 3, 3},   Name{"ILL", 4, 4},
      Name{"TRAP", 5, 5},   Name{"ABRT", 6, 6},     Name{"BUS", 7, 10},   Name{"FPE", 8, 8},
      Name{"KILL", 9, 9},   Name{"USR1", 10, 30},   Name{"SEGV", 11, 11}, Name{"USR2", 12, 31},
      Name{"PIPE", 13, 13}, Name{"ALRM", 14, 14},   Name{"TERM", 15, 15}, Name{"STKFLT", 16, 0},
      Name{"CHLD", 17, 20}, Name{"CONT", 18, 19},   Name{"STOP", 19, 17}, Name{"TSTP", 20, 18},
      Name{"TTIN", 21, 21}, Name{"TTOU", 22, 22},   Name{"URG", 23, 16},  Name{"XCPU", 24, 24},
      Name{"XFSZ", 25, 25}, Name{"VTALRM", 26, 26}, Name{"PROF", 27, 27}, Name{"WINCH", 28, 28},
      Name{"IO", 29, 23},   Name{"PWR", 30, 0},     Name{"SYS", 31, 12},  Name{"EMT", 0, 7},
      Name{"INFO", 0, 29},
  };
  int number = 0;
  const char* last = name.data() + name.size();
  const auto [end, error] = std::from_chars(name.data(), last, number);
  if (!name.empty() && error == std::errc() && end == last) {
    if (number >= 1 && number <= 64 && number != 32 && number != 33) return number;
  } else {
    std::string upper;
    for (const char c : name) upper += static_cast<char>(std::toupper(c));
    if (upper.starts_with("SIG")) upper.erase(0, 3);
    for (const auto& known : kNames) {
      // 0.x looks names up in the table of macOS and sends that number to Linux.
      const int value = is_old(version) ? known.mac_number : known.linux_number;
      if (known.name == upper && value != 0) return value;
    }
    if (!is_old(version) && upper.starts_with("RTMIN")) {
      const std::string plus = upper.substr(5);
      int extra = 0;
      if (!plus.empty()) {
        const auto [tail, bad] = std::from_chars(plus.data() + 1, plus.data() + plus.size(), extra);
        if (plus[0] != '+' || bad != std::errc() || tail != plus.data() + plus.size()) extra = -1;
      }
      if (extra >= 0 && extra <= 30) return 34 + extra;
    }
  }
  fail("invalid signal: " + name);
}

}  // namespace standin
