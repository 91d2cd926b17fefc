#include "model/storage_settings.hpp"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "model/byte_size.hpp"
#include "model/settings_reader.hpp"
#include "model/task_setting_readers.hpp"

namespace ndc {
namespace {

using T = SettingType;

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

constexpr const char* kReplacesRoot = " would replace all of the image's files";

// By whatever spelling: "/", "//", "/./".
bool is_root(std::string_view path) {
  return path.find_first_not_of("/.") == std::string_view::npos && path.find("...") == path.npos;
}

bool absolute(std::string_view path) { return !path.empty() && path.front() == '/'; }

Error bad_volume(std::string_view key, std::string_view text, const std::string& why) {
  return invalid_setting(key, quoted(text) + why,
                         "write \"host:container\" or \"host:container:ro\"");
}

// A volume with more slashes or dots than a name may have would be taken for a path by one reader
// and for a name by another.
bool is_volume_name(std::string_view name) {
  const auto ordinary = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && ordinary(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return ordinary(c) || c == '_' || c == '.' || c == '-'; });
}

bool is_mount_option(std::string_view option) {
  static constexpr std::string_view kKnown[] = {
      "ro",     "rw",      "z",      "Z",      "U",      "private", "rprivate",
      "shared", "rshared", "slave",  "rslave", "exec",   "noexec",  "dev",
      "nodev",  "suid",    "nosuid", "copy",   "nocopy", "bind",    "rbind"};
  return std::find(std::begin(kKnown), std::end(kKnown), option) != std::end(kKnown);
}

// size=64m, mode=1777 and the flags that a tmpfs of podman's may have.
bool is_tmpfs_option(std::string_view option) {
  static constexpr std::string_view kFlags[] = {
      "ro", "rw", "exec", "noexec", "dev", "suid", "nosuid", "tmpcopyup", "notmpcopyup", "nodev"};
  if (option.starts_with("size=")) {
    option.remove_prefix(5);
    if (option.ends_with('%')) option.remove_suffix(1);
    return parse_byte_size(option).has_value();
  }
  if (option.starts_with("mode=")) {
    option.remove_prefix(5);
    return !option.empty() && option.size() <= 5 &&
           option.find_first_not_of("01234567") == std::string_view::npos;
  }
  return std::find(std::begin(kFlags), std::end(kFlags), option) != std::end(kFlags);
}

// --- mount blocks
// ---------------------------------------------------------------------------------

struct BindOptions {
  std::string propagation;
};
struct TmpfsOptions {
  std::optional<std::int64_t> size;
  std::optional<std::string> mode;
};
struct VolumeOptions {
  bool no_copy = false;
};
struct MountBlock {
  std::string type = "bind";
  std::string source;
  std::string target;
  bool read_only = false;
  BindOptions bind;
  TmpfsOptions tmpfs;
  VolumeOptions volume;
};

Expected<std::string> read_propagation(std::string_view key, const Value& value) {
  auto text = read_string(key, value);
  if (!text) return text;
  for (const char* known : {"", "private", "rprivate", "shared", "rshared", "slave", "rslave"}) {
    if (*text == known) return text;
  }
  return fail(invalid_setting(key, "unknown propagation " + quoted(*text),
                              "write \"rprivate\", \"rslave\" or \"rshared\""));
}

// Docker's `mode` is a number, and in job files that number is octal only in its author's mind:
// 1777 is read as the four digits that they wrote.
Expected<std::optional<std::string>> read_mode(std::string_view key, const Value& value) {
  auto text = read_string(key, value);
  if (!text) return fail(std::move(text.error()));
  const bool octal = !text->empty() && text->size() <= 5 &&
                     text->find_first_not_of("01234567") == std::string::npos;
  if (octal) return std::optional{std::move(*text)};
  return fail(
      invalid_setting(key, quoted(*text) + " is no octal mode", "write for example \"1777\""));
}

const SettingsTable<BindOptions>& bind_options_table() {
  static const SettingsTable<BindOptions> table{
      setting("propagation", T::kString, read_propagation, &BindOptions::propagation)};
  return table;
}

const SettingsTable<TmpfsOptions>& tmpfs_options_table() {
  static const SettingsTable<TmpfsOptions> table{
      setting("size", T::kString, read_shm_size, &TmpfsOptions::size),
      setting("mode", T::kString, read_mode, &TmpfsOptions::mode)};
  return table;
}

const SettingsTable<VolumeOptions>& volume_options_table() {
  static const SettingsTable<VolumeOptions> table{
      setting("no_copy", T::kBool, read_bool, &VolumeOptions::no_copy)};
  return table;
}

const SettingsTable<MountBlock>& mount_table() {
  using C = MountBlock;
  static const SettingsTable<C> table{
      setting("type", T::kString, read_string, &C::type),
      setting("source", T::kString, read_string, &C::source),
      setting("target", T::kString, read_string, &C::target),
      setting("readonly", T::kBool, read_bool, &C::read_only),
      block("bind_options", bind_options_table(), &C::bind),
      block("tmpfs_options", tmpfs_options_table(), &C::tmpfs),
      block("volume_options", volume_options_table(), &C::volume),
  };
  return table;
}

std::optional<Error> check_target(const std::string& key, const MountBlock& mount) {
  if (!absolute(mount.target) || has_control_character(mount.target)) {
    return invalid_setting(
        key + ".target",
        "expected an absolute path in the container, found " + quoted(mount.target),
        "write for example \"/data\"");
  }
  if (is_root(mount.target)) {
    return invalid_setting(key + ".target", quoted(mount.target) + kReplacesRoot,
                           "write for example \"/data\"");
  }
  if (mount.type != "bind" && mount.target.find(':') != std::string::npos) {
    return invalid_setting(key + ".target", quoted(mount.target) + " holds a colon",
                           "only a bind mount can have one there");
  }
  return std::nullopt;
}

// What is wrong with its type or its source.
std::optional<Error> add_mount(const std::string& key, MountBlock mount, MountBlocks& out) {
  if (mount.type == "tmpfs") {
    if (!mount.source.empty()) {
      return invalid_setting(key + ".source", "a tmpfs has no source", "remove it");
    }
    std::string options;
    const auto add = [&options](const std::string& option) {
      options += (options.empty() ? "" : ",") + option;
    };
    if (mount.tmpfs.size) add("size=" + std::to_string(*mount.tmpfs.size));
    if (mount.tmpfs.mode) add("mode=" + *mount.tmpfs.mode);
    if (mount.read_only) add("ro");
    out.tmpfs.push_back({std::move(mount.target), std::move(options)});
    return std::nullopt;
  }
  Volume volume{std::move(mount.source), std::move(mount.target), {}};
  if (mount.read_only) volume.options.emplace_back("ro");
  if (mount.type == "volume") {
    if (!is_volume_name(volume.source) || !volume.named()) {
      return invalid_setting(key + ".source", quoted(volume.source) + " is no name of a volume",
                             "for a path write type = \"bind\"");
    }
    if (mount.volume.no_copy) volume.options.emplace_back("nocopy");
  } else if (mount.type == "bind") {
    if (volume.source.empty() || has_control_character(volume.source)) {
      return invalid_setting(key + ".source", quoted(volume.source) + " is no path",
                             "write a path on the host, or one below the task's directory");
    }
    // A relative path, also one without a slash, is below the task's directory.
    if (volume.source.find('/') == std::string::npos) volume.source.insert(0, "./");
    if (!mount.bind.propagation.empty()) volume.options.push_back(mount.bind.propagation);
  } else {
    return invalid_setting(key + ".type", "unknown type " + quoted(mount.type),
                           "write \"bind\", \"volume\" or \"tmpfs\"");
  }
  out.volumes.push_back(std::move(volume));
  return std::nullopt;
}

// --- devices
// --------------------------------------------------------------------------------------

const SettingsTable<Device>& device_table() {
  using C = Device;
  static const SettingsTable<C> table{
      setting("host_path", T::kString, read_string, &C::host_path),
      setting("container_path", T::kString, read_string, &C::container_path),
      setting("cgroup_permissions", T::kString, read_string, &C::permissions),
  };
  return table;
}

// Calls `each` with every block of a list and its key, "mount[1]", and a place for its errors.
template <class Each>
Expected<void> for_blocks(std::string_view key, const Value& value, Each each) {
  const Value::List* list = value.list();
  if (list == nullptr) {
    return fail(invalid_setting(key, std::string{"expected blocks, found a "} + value.type_name()));
  }
  std::size_t index = 0;
  std::vector<Error> errors;
  for (const Value& element : *list) {
    each(std::string{key} + "[" + std::to_string(index++) + "]", element, errors);
  }
  if (!errors.empty()) return fail(combine({}, {}, errors));
  return {};
}

// --- lists of strings
// ---------------------------------------------------------------------------------

Expected<Volume> read_volume(std::string_view key, const std::string& text) {
  const auto parts = split(text, ':');
  if (parts.size() < 2 || parts.size() > 3 || parts[0].empty() || parts[0].front() == '-' ||
      has_control_character(text)) {
    return fail(bad_volume(key, text, " is no volume"));
  }
  if (!absolute(parts[1])) {
    return fail(bad_volume(key, text, ": the path in the container must be absolute"));
  }
  if (is_root(parts[1])) return fail(bad_volume(key, text, kReplacesRoot));
  Volume volume{parts[0], parts[1], {}};
  if (volume.named() && !is_volume_name(volume.source)) {
    return fail(bad_volume(key, text, ": this is no name of a volume"));
  }
  if (parts.size() == 3) volume.options = split(parts[2], ',');
  for (const std::string& option : volume.options) {
    if (!is_mount_option(option)) {
      return fail(bad_volume(key, text, ": unknown option " + quoted(option)));
    }
  }
  return volume;
}

Expected<Tmpfs> read_one_tmpfs(std::string_view key, const std::string& text) {
  const std::size_t colon = text.find(':');
  if (!absolute(text) || has_control_character(text) || is_root(text.substr(0, colon))) {
    return fail(invalid_setting(key, quoted(text) + " is no tmpfs",
                                "write for example \"/run:size=64m,mode=1777\""));
  }
  const std::string options = colon == std::string::npos ? "" : text.substr(colon + 1);
  for (const std::string& option : split(options, ',')) {
    if (options.empty() || is_tmpfs_option(option)) continue;
    return fail(invalid_setting(key, quoted(text) + ": unknown option " + quoted(option),
                                "write for example \"/run:size=64m,mode=1777\""));
  }
  return Tmpfs{text.substr(0, colon), options};
}

Expected<Volume> read_publish_socket(std::string_view key, const std::string& text) {
  const auto parts = split(text, ':');
  if (parts.size() != 2 || !absolute(parts[0]) || !absolute(parts[1]) ||
      has_control_character(text)) {
    return fail(invalid_setting(key, quoted(text) + " is no pair of sockets",
                                "write for example \"/run/app.sock:/var/run/app.sock\""));
  }
  return Volume{parts[0], parts[1], {}};
}

// Each string of a list by `read`.
template <class T>
Expected<std::vector<T>> read_each(std::string_view key, const Value& value,
                                   Expected<T> (*read)(std::string_view, const std::string&)) {
  auto texts = read_strings(key, value);
  if (!texts) return fail(std::move(texts.error()));
  std::vector<T> out;
  std::vector<Error> errors;
  for (const std::string& text : *texts) {
    auto each = read(key, text);
    if (each) {
      out.push_back(std::move(*each));
    } else {
      errors.push_back(std::move(each.error()));
    }
  }
  return unless(errors, std::move(out));
}

}  // namespace

Expected<std::vector<Volume>> read_volumes(std::string_view key, const Value& value) {
  return read_each(key, value, read_volume);
}

Expected<std::vector<Tmpfs>> read_tmpfs(std::string_view key, const Value& value) {
  return read_each(key, value, read_one_tmpfs);
}

Expected<std::vector<Volume>> read_publish_sockets(std::string_view key, const Value& value) {
  return read_each(key, value, read_publish_socket);
}

const Schema& device_schema() {
  static const Schema schema = device_table().schema();
  return schema;
}

Expected<std::vector<Device>> read_devices(std::string_view key, const Value& value) {
  std::vector<Device> devices;
  auto read = for_blocks(
      key, value, [&](const std::string& name, const Value& element, std::vector<Error>& errors) {
        Device device;
        device_table().read(device, name + ".", element, errors);
        if (device.container_path.empty()) device.container_path = device.host_path;
        if (device.permissions.empty()) device.permissions = "rwm";
        for (const std::string& path : {device.host_path, device.container_path}) {
          if (absolute(path) && path.find(':') == std::string::npos &&
              !has_control_character(path)) {
            continue;
          }
          errors.push_back(invalid_setting(name, quoted(path) + " is no path of a device",
                                           "write for example host_path = \"/dev/fuse\""));
          break;
        }
        if (device.permissions.find_first_not_of("rwm") != std::string::npos) {
          errors.push_back(
              invalid_setting(name + ".cgroup_permissions",
                              quoted(device.permissions) + " has other letters than rwm",
                              "write for example \"rw\""));
        }
        devices.push_back(std::move(device));
      });
  if (!read) return fail(std::move(read.error()));
  return devices;
}

const Schema& mount_schema() {
  static const Schema schema = mount_table().schema();
  return schema;
}

Expected<MountBlocks> read_mount_blocks(std::string_view key, const Value& value) {
  MountBlocks out;
  auto read = for_blocks(
      key, value, [&](const std::string& name, const Value& element, std::vector<Error>& errors) {
        MountBlock mount;
        mount_table().read(mount, name + ".", element, errors);
        if (auto error = check_target(name, mount)) errors.push_back(std::move(*error));
        if (auto error = add_mount(name, std::move(mount), out)) {
          errors.push_back(std::move(*error));
        }
      });
  if (!read) return fail(std::move(read.error()));
  return out;
}

}  // namespace ndc
