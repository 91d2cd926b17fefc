#include "runtime/mount_guard_linux.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <utility>

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "runtime/json_reader.hpp"
#include "runtime/mount_policy.hpp"
#include "runtime/own_program.hpp"
#include "runtime/proc_linux.hpp"

namespace ndc::runtime {
namespace {

// Where podman looks for hooks unless it is told where: they go on to be used.
constexpr const char* kUsualHooks[] = {"/usr/share/containers/oci/hooks.d",
                                       "/etc/containers/oci/hooks.d"};

// mountinfo writes space, tab, newline and backslash as "\040" and the like.
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    const auto end = text.data() + std::min(i + 4, text.size());
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(text.data() + i + 1, end, byte, 8).ptr == end) {
      out += static_cast<char>(byte);
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

struct Mount {
  MountIdentity identity;
  std::string point;
};

std::vector<Mount> mounts_in(std::string_view mountinfo) {
  std::vector<Mount> out;
  std::istringstream lines{std::string{mountinfo}};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields{line};
    std::string id, parent, device, root, point;
    if (fields >> id >> parent >> device >> root >> point) {
      out.push_back({{device, unescaped(root)}, unescaped(point)});
    }
  }
  return out;
}

// As others find it: the OCI runtime's "self" is not ours.
std::string own_program_for_others() {
  std::string path = own_program();
  return path == "/proc/self/exe" ? "/proc/" + std::to_string(::getpid()) + "/exe" : path;
}

// Where the container's files are while hooks of this stage run: it has not moved into its root
// yet, and sees the mounts of the host beside its own.
std::string root_of(const HookState& state) {
  const auto config = read_file(state.bundle + "/config.json", json::kMaxSize);
  return config ? real_path(parse_root(*config, state.bundle)).value_or("") : std::string{};
}

// The kernel would read a path up to a NUL byte, and find another one.
bool is_path(std::string_view text) {
  return !text.empty() && text.find('\0') == std::string_view::npos;
}

std::string refusal_file(const std::string& directory) { return directory + "/mount-refused"; }
std::string proof_file(const std::string& directory) { return directory + "/mounts-checked"; }

std::string hook_json(const std::string& program, const std::string& directory,
                      const std::vector<MountIdentity>& wanted) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> json{buffer};
  const auto text = [&](const std::string& value) {
    json.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
  };
  json.StartObject();
  json.Key("version");
  json.String("1.0.0");
  json.Key("hook");
  json.StartObject();
  json.Key("path");
  text(program);
  json.Key("args");
  json.StartArray();
  text(program);
  json.String(kGuardRole);
  text(directory);
  for (const MountIdentity& mount : wanted) {
    text(mount.device);
    text(mount.root);
  }
  json.EndArray();
  json.EndObject();
  json.Key("when");
  json.StartObject();
  json.Key("always");
  json.Bool(true);
  json.EndObject();
  json.Key("stages");
  json.StartArray();
  json.String("prestart");  // the mounts are there, the workload is not; every OCI runtime has it
  json.EndArray();
  json.EndObject();
  return buffer.GetString();
}

}  // namespace

std::optional<MountIdentity> identity_of(std::string_view mountinfo, const std::string& path) {
  std::optional<Mount> best;
  for (Mount& mount : mounts_in(mountinfo)) {
    if (!is_below(path, mount.point)) continue;
    // Of mounts at the same point the last one is seen.
    if (!best || mount.point.size() >= best->point.size()) best = std::move(mount);
  }
  if (!best) return std::nullopt;
  std::string rest = path.substr(best->point == "/" ? 0 : best->point.size());
  if (rest == "/") rest.clear();
  std::string& root = best->identity.root;
  root = root == "/" && !rest.empty() ? rest : root + rest;
  return best->identity;
}

std::vector<MountIdentity> missing_mounts(std::string_view mountinfo, const std::string& root,
                                          std::vector<MountIdentity> wanted) {
  for (const Mount& mount : mounts_in(mountinfo)) {
    if (!is_below(mount.point, root)) continue;
    const auto found = std::find(wanted.begin(), wanted.end(), mount.identity);
    if (found != wanted.end()) wanted.erase(found);
  }
  return wanted;
}

Expected<std::vector<std::string>> guard_mounts(const std::vector<ContainerMount>& mounts,
                                                const std::string& directory) {
  const auto failed = [&](std::string cause) {
    return fail(Error{ErrorCode::kInternal, "guard volumes", directory, std::move(cause), {}});
  };
  std::vector<MountIdentity> wanted;
  const auto mountinfo = read_file("/proc/self/mountinfo", 16u << 20);
  for (const ContainerMount& mount : mounts) {
    if (!mount.guarded) continue;
    auto identity = identity_of(mountinfo.value_or(""), mount.source);
    if (!identity) return failed("mountinfo does not tell what " + quoted(mount.source) + " is");
    wanted.push_back(std::move(*identity));
  }
  if (wanted.empty()) return std::vector<std::string>{};

  const std::string hooks = directory + "/hooks";
  std::remove(refusal_file(directory).c_str());
  ::mkdir(hooks.c_str(), 0700);
  std::ofstream file{hooks + "/mounts.json", std::ios::trunc};
  file << hook_json(own_program_for_others(), directory, wanted);
  file.close();
  if (!file) return failed("the hook for them cannot be written");
  std::vector<std::string> options;
  for (const char* usual : kUsualHooks) {
    struct stat info {};
    if (::stat(usual, &info) == 0) options.push_back(std::string{"--hooks-dir="} + usual);
  }
  options.push_back("--hooks-dir=" + hooks);
  return options;
}

std::optional<HookState> parse_hook_state(std::string_view text) {
  rapidjson::Document document;
  if (json::parse(text, document)) return std::nullopt;
  HookState out;
  out.id = json::text(json::member(&document, "id"));
  const auto pid = json::number(json::member(&document, "pid"));
  if (pid && std::in_range<pid_t>(*pid)) out.pid = static_cast<pid_t>(*pid);
  std::string bundle = json::text(json::member(&document, "bundle"));
  if (is_path(bundle) && bundle.starts_with('/')) out.bundle = std::move(bundle);
  return out;
}

std::string parse_root(std::string_view config, const std::string& bundle) {
  rapidjson::Document document;
  if (bundle.empty() || json::parse(config, document)) return {};
  const std::string root = json::text(json::member(&document, "root", "path"));
  if (!is_path(root)) return {};
  return root.starts_with('/') ? root : bundle + "/" + root;
}

bool guard_refused(const std::string& directory) {
  struct stat info {};
  return ::lstat(refusal_file(directory).c_str(), &info) == 0;
}

bool guard_passed(const std::string& directory, const std::string& container_id) {
  return read_file(proof_file(directory)) == container_id;
}

int guard_main(const std::vector<std::string>& arguments) {
  constexpr int kRefused = 1;
  const std::string told{std::istreambuf_iterator<char>{std::cin}, {}};
  const auto state = parse_hook_state(told);
  if (arguments.size() % 2 != 1 || !state) return kRefused;
  const auto mountinfo = read_file("/proc/" + std::to_string(state->pid) + "/mountinfo", 16u << 20);
  std::vector<MountIdentity> wanted;
  for (std::size_t i = 1; i + 1 < arguments.size(); i += 2) {
    wanted.push_back({arguments[i], arguments[i + 1]});
  }
  const std::string root = root_of(*state);
  const bool known = mountinfo && !root.empty();
  if (!known || !missing_mounts(*mountinfo, root, std::move(wanted)).empty()) {
    const std::ofstream note{refusal_file(arguments.front())};
    return kRefused;
  }
  std::ofstream proof{proof_file(arguments.front())};
  proof << state->id;
  proof.close();
  return proof ? 0 : kRefused;
}

}  // namespace ndc::runtime
