#include "runtime/apple_mounts.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <string_view>
#include <utility>

#include "runtime/apple_version.hpp"
#include "runtime/mount_policy.hpp"

namespace ndc::runtime {
namespace {

constexpr std::size_t kMaxVolumeName = 255;

Error refused(const std::string& source, std::string cause, std::string hint,
              ErrorCode code = ErrorCode::kInvalidConfig) {
  return {code, "mount volume", source, std::move(cause), std::move(hint)};
}

// What Nomad asks for by default and every share is anyway.
bool means_nothing(const std::string& option) {
  return option == "rw" || option == "private" || option == "rprivate" || option == "bind" ||
         option == "rbind" || option == "nocopy" || option == "exec" || option == "dev" ||
         option == "suid";
}

bool is_known(const std::string& option) {
  return option == "ro" || option == "noexec" || option == "nodev" || option == "nosuid";
}

bool is_volume_name(std::string_view name) {
  const auto ordinary = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && name.size() <= kMaxVolumeName && ordinary(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return ordinary(c) || c == '_' || c == '.' || c == '-'; });
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

Expected<AppleMount::Kind> kind_of(const ContainerMount& mount, const VersionNumber& version) {
  if (mount.source.find('/') == std::string::npos) {
    if (is_volume_name(mount.source)) return AppleMount::Kind::kVolume;
    return fail(refused(mount.source,
                        "it is no name that " + apple_name(version) + " takes for a volume",
                        "use letters, digits, '_', '.' and '-'"));
  }
  struct stat info {};
  if (::stat(mount.source.c_str(), &info) != 0) {
    return fail(refused(mount.source, std::strerror(errno), "check the path on this node"));
  }
  if (S_ISDIR(info.st_mode)) return AppleMount::Kind::kDirectory;
  if (S_ISREG(info.st_mode)) return AppleMount::Kind::kFile;
  if (S_ISSOCK(info.st_mode)) return AppleMount::Kind::kSocket;
  return fail(refused(
      mount.source,
      "only directories, files and sockets can reach the virtual machine of " + apple_name(version),
      "mount the directory it is in", ErrorCode::kUnsupported));
}

bool has(std::string_view text, std::string_view characters) {
  return text.find_first_of(characters) != std::string_view::npos;
}

}  // namespace

bool AppleMount::read_only() const {
  return std::find(options.begin(), options.end(), "ro") != options.end();
}

Expected<std::vector<AppleMount>> apple_mounts(const std::vector<ContainerMount>& mounts,
                                               const VersionNumber& version) {
  std::vector<AppleMount> out;
  std::vector<Error> errors;
  for (const ContainerMount& mount : mounts) {
    const auto kind = kind_of(mount, version);
    if (!kind) {
      errors.push_back(kind.error());
      continue;
    }
    AppleMount made{*kind, mount.source, mount.target, {}};
    // The machine's shares are told apart by what a path leads to, and a Mac's /var and /tmp are
    // links themselves: two names of one directory must not pass for two shares.
    if (*kind != AppleMount::Kind::kVolume) {
      made.source = real_path(mount.source).value_or(mount.source);
    }
    if (!made.target.starts_with('/')) {
      errors.push_back(refused(mount.source, quoted(made.target) + " is no absolute path",
                               "write where in the container it should appear"));
    }
    for (const std::string& option : mount.options) {
      if (option == "nocopy") made.no_copy = true;
      if (means_nothing(option)) continue;
      if (!is_known(option)) {
        errors.push_back(refused(mount.source,
                                 apple_name(version) + " has no mount option " + quoted(option),
                                 "use ro, noexec, nodev or nosuid", ErrorCode::kUnsupported));
        continue;
      }
      made.options.push_back(option);
    }
    if (auto words = mount_words(made, version); !words) errors.push_back(std::move(words.error()));
    out.push_back(std::move(made));
  }
  for (Error& error : share_conflicts(out, version)) errors.push_back(std::move(error));
  if (!errors.empty()) return fail(combine({}, {}, errors));
  return out;
}

std::vector<Error> share_conflicts(const std::vector<AppleMount>& mounts,
                                   const VersionNumber& version) {
  std::vector<Error> errors;
  std::map<std::string, const AppleMount*> shares;
  for (const AppleMount& mount : mounts) {
    std::string share;
    if (mount.kind == AppleMount::Kind::kDirectory) {
      share = mount.source;
    } else if (mount.kind == AppleMount::Kind::kFile && shares_parent_directories(version)) {
      share = parent_of(mount.source);
    } else {
      continue;
    }
    const auto [first, is_new] = shares.emplace(share, &mount);
    if (is_new || first->second->read_only() == mount.read_only()) continue;
    errors.push_back(refused(
        mount.source,
        "the directory " + quoted(share) +
            " would be shared with the machine both read-only (for " +
            quoted(mount.read_only() ? mount.target : first->second->target) +
            ") and writable (for " +
            quoted(mount.read_only() ? first->second->target : mount.target) + "), and " +
            apple_name(version) + " shares a directory only once: one of them would be wrong",
        "make both read-only or both writable, or put the file into a directory of its own"));
  }
  return errors;
}

Expected<std::vector<std::string>> mount_words(const AppleMount& mount,
                                               const VersionNumber& version) {
  const bool colon = has(mount.source, ":") || has(mount.target, ":");
  if (!colon) {
    std::string value = mount.source + ":" + mount.target;
    for (std::size_t i = 0; i < mount.options.size(); ++i) {
      value += (i == 0 ? ":" : ",") + mount.options[i];
    }
    return std::vector<std::string>{"--volume=" + value};
  }
  const bool separators = has(mount.source, ",=") || has(mount.target, ",=");
  if (mount.kind != AppleMount::Kind::kDirectory || separators) {
    return fail(
        refused(mount.source,
                mount.kind == AppleMount::Kind::kDirectory
                    ? apple_name(version) + " cannot mount a path with ':' and one of ',' '='"
                    : apple_name(version) + " cannot mount a file with ':' in its path",
                "rename it", ErrorCode::kUnsupported));
  }
  std::string value = "type=bind,source=" + mount.source + ",destination=" + mount.target;
  for (const std::string& option : mount.options) {
    if (option != "ro") {
      return fail(refused(mount.source,
                          "a path with ':' takes no mount option but ro in " + apple_name(version) +
                              ", found " + quoted(option),
                          "rename it, or remove the option", ErrorCode::kUnsupported));
    }
    value += ",readonly";
  }
  return std::vector<std::string>{"--mount=" + value};
}

}  // namespace ndc::runtime
