#include "model/linux_caps.hpp"

#include <cctype>

namespace ndc {
namespace {

// capabilities(7), up to Linux 5.9.
const std::set<std::string_view>& known_caps() {
  static const std::set<std::string_view> names{
      "AUDIT_CONTROL",   "AUDIT_READ",   "AUDIT_WRITE",
      "BLOCK_SUSPEND",   "BPF",          "CHECKPOINT_RESTORE",
      "CHOWN",           "DAC_OVERRIDE", "DAC_READ_SEARCH",
      "FOWNER",          "FSETID",       "IPC_LOCK",
      "IPC_OWNER",       "KILL",         "LEASE",
      "LINUX_IMMUTABLE", "MAC_ADMIN",    "MAC_OVERRIDE",
      "MKNOD",           "NET_ADMIN",    "NET_BIND_SERVICE",
      "NET_BROADCAST",   "NET_RAW",      "PERFMON",
      "SETFCAP",         "SETGID",       "SETPCAP",
      "SETUID",          "SYSLOG",       "SYS_ADMIN",
      "SYS_BOOT",        "SYS_CHROOT",   "SYS_MODULE",
      "SYS_NICE",        "SYS_PACCT",    "SYS_PTRACE",
      "SYS_RAWIO",       "SYS_RESOURCE", "SYS_TIME",
      "SYS_TTY_CONFIG",  "WAKE_ALARM"};
  return names;
}

}  // namespace

Expected<std::string> capability_name(std::string_view text) {
  std::string name;
  for (const char c : text) {
    name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  if (name == kAllCaps) return name;
  if (name.starts_with("CAP_")) name.erase(0, 4);
  if (known_caps().contains(name)) return "CAP_" + name;
  return fail({.code = ErrorCode::kInvalidConfig,
               .what = "read capability",
               .on = std::string{text},
               .cause = "there is no such capability",
               .hint = "write for example \"net_admin\", or \"all\""});
}

const std::set<std::string>& default_allowed_caps() {
  static const std::set<std::string> names{
      "CAP_AUDIT_WRITE", "CAP_CHOWN",  "CAP_DAC_OVERRIDE",     "CAP_FOWNER",  "CAP_FSETID",
      "CAP_KILL",        "CAP_MKNOD",  "CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID",
      "CAP_SETPCAP",     "CAP_SETUID", "CAP_SYS_CHROOT"};
  return names;
}

}  // namespace ndc
