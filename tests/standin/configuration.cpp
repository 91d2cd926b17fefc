#include "standin/configuration.hpp"

#include <array>
#include <cstdlib>

#include "standin/text.hpp"
#include "standin/values.hpp"

namespace standin {
namespace {

constexpr const char* kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr std::array kMasked = {"/proc/asound",      "/proc/acpi",          "/proc/kcore",
                                "/proc/keys",        "/proc/latency_stats", "/proc/timer_list",
                                "/proc/timer_stats", "/proc/sched_debug",   "/proc/scsi",
                                "/sys/firmware"};
constexpr std::array kReadOnly = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                  "/proc/sysrq-trigger"};

class Builder {
 public:
  Builder(const Context& context, const Parsed& parsed, const Image& image)
      : context_(context), parsed_(parsed), image_(image), alloc_(record_.GetAllocator()) {}

  Json build() {
    record_.SetObject();
    id_ = parsed_.get("--name");
    if (id_.empty()) id_ = random_uuid();
    check_container_id(context_.version, id_);
    Value configuration(rapidjson::kObjectType);
    put(configuration, "id", id_, alloc_);
    put(configuration, "image", image(), alloc_);
    put(configuration, "initProcess", process(), alloc_);
    put(configuration, "mounts", mounts(), alloc_);
    put(configuration, "publishedPorts", ports(), alloc_);
    put(configuration, "publishedSockets", sockets(), alloc_);
    put(configuration, "labels", labels(), alloc_);
    put(configuration, "sysctls", Value(rapidjson::kObjectType), alloc_);
    put(configuration, "networks", networks(), alloc_);
    if (!parsed_.has("--no-dns")) put(configuration, "dns", dns(), alloc_);
    put(configuration, "platform", platform(), alloc_);
    put(configuration, "rosetta", Value(parsed_.has("--rosetta") || amd64_), alloc_);
    put(configuration, "resources", resources(), alloc_);
    put(configuration, "runtimeHandler", parsed_.get("--runtime", "container-runtime-linux"),
        alloc_);
    flag(configuration, "virtualization", "--virtualization");
    flag(configuration, "ssh", "--ssh");
    flag(configuration, "readOnly", "--read-only");
    flag(configuration, "useInit", "--init");
    put(configuration, "capAdd", capabilities("--cap-add"), alloc_);
    put(configuration, "capDrop", capabilities("--cap-drop"), alloc_);
    if (parsed_.has("--shm-size")) {
      put(configuration, "shmSize", Value(parse_memory(parsed_.get("--shm-size"))), alloc_);
    }
    const std::string stop_signal = get_string(image_.config, "StopSignal");
    if (!stop_signal.empty()) put(configuration, "stopSignal", stop_signal, alloc_);
    paths(configuration, "maskedPaths", "--masked-path", {kMasked.begin(), kMasked.end()});
    paths(configuration, "readonlyPaths", "--read-only-path", {kReadOnly.begin(), kReadOnly.end()});

    put(record_, "id", id_, alloc_);
    put(record_, "version", to_string(context_.version), alloc_);
    put(record_, "created", Value(context_.now), alloc_);
    put(record_, "configuration", std::move(configuration), alloc_);
    put(record_, "settings", settings(), alloc_);
    return std::move(record_);
  }

 private:
  void flag(Value& object, const char* key, const char* option) {
    put(object, key, Value(parsed_.has(option)), alloc_);
  }

  Value image() {
    Value descriptor(rapidjson::kObjectType);
    put(descriptor, "digest", image_.digest, alloc_);
    put(descriptor, "mediaType", "application/vnd.oci.image.index.v1+json", alloc_);
    put(descriptor, "size", Value(image_.size), alloc_);
    Value value(rapidjson::kObjectType);
    put(value, "descriptor", std::move(descriptor), alloc_);
    put(value, "reference", image_.reference, alloc_);
    return value;
  }

  Value process() {
    std::vector<std::string> words;
    const std::string entrypoint = parsed_.get("--entrypoint");
    const std::vector<std::string> arguments(parsed_.words.begin() + 1, parsed_.words.end());
    if (!entrypoint.empty()) {
      words = {entrypoint};
    } else {
      words = get_strings(image_.config, "Entrypoint");
      if (arguments.empty()) {
        const auto cmd = get_strings(image_.config, "Cmd");
        words.insert(words.end(), cmd.begin(), cmd.end());
      }
    }
    words.insert(words.end(), arguments.begin(), arguments.end());
    if (words.empty()) fail("Command/Entrypoint not specified for container process");

    std::vector<std::string> env;
    for (auto& entry : get_strings(image_.config, "Env")) {
      // The image's author takes what this process has, up to 1.1.0.
      auto full = context_.version <= Version::v1_1_0 ? inherit_env(entry) : std::move(entry);
      if (full) env.push_back(*std::move(full));
    }
    for (const auto& file : parsed_.all("--env-file")) {
      for (auto& entry : read_env_file(file)) env.push_back(std::move(entry));
    }
    for (const auto& entry : parsed_.all("--env")) {
      if (auto full = inherit_env(entry)) env.push_back(*std::move(full));
    }

    Value rlimits(rapidjson::kArrayType);
    for (const auto& limit : parse_ulimits(parsed_.all("--ulimit"))) {
      Value one(rapidjson::kObjectType);
      put(one, "limit", limit.limit, alloc_);
      put(one, "soft", Value(limit.soft), alloc_);
      put(one, "hard", Value(limit.hard), alloc_);
      rlimits.PushBack(one, alloc_);
    }

    std::string directory = parsed_.get("--workdir");
    if (directory.empty()) directory = get_string(image_.config, "WorkingDir");
    Value process(rapidjson::kObjectType);
    put(process, "executable", words.front(), alloc_);
    put(process, "arguments", strings({words.begin() + 1, words.end()}, alloc_), alloc_);
    put(process, "environment", strings(merge_env(env), alloc_), alloc_);
    put(process, "workingDirectory", directory.empty() ? "/" : directory, alloc_);
    flag(process, "terminal", "--tty");
    put(process, "user", user(), alloc_);
    Value groups(rapidjson::kArrayType);
    if (parsed_.has("--gid") && !parsed_.has("--uid") && !parsed_.has("--user")) {
      groups.PushBack(Value(uint64_t{std::strtoull(parsed_.get("--gid").c_str(), nullptr, 10)}),
                      alloc_);
    }
    put(process, "supplementalGroups", std::move(groups), alloc_);
    put(process, "rlimits", std::move(rlimits), alloc_);
    return process;
  }

  Value user() {
    Value value(rapidjson::kObjectType);
    std::string raw = parsed_.get("--user");
    if (raw.empty() && parsed_.has("--uid") && !parsed_.has("--gid")) raw = parsed_.get("--uid");
    if (raw.empty() && !parsed_.has("--uid")) raw = get_string(image_.config, "User");
    Value inner(rapidjson::kObjectType);
    if (!raw.empty()) {
      put(inner, "userString", raw, alloc_);
      put(value, "raw", std::move(inner), alloc_);
      return value;
    }
    const auto number = [&](const char* option) {
      return Value(uint64_t{std::strtoull(parsed_.get(option, "0").c_str(), nullptr, 10)});
    };
    put(inner, "uid", number("--uid"), alloc_);
    put(inner, "gid", parsed_.has("--uid") ? number("--gid") : Value(0), alloc_);
    put(value, "id", std::move(inner), alloc_);
    return value;
  }

  void add_mount(Value& list, Mount mount) {
    Value type(rapidjson::kObjectType);
    if (mount.kind == Mount::Kind::volume) {
      if (mount.source.empty()) mount.source = "anon-" + random_uuid();
      Value volume(rapidjson::kObjectType);
      put(volume, "name", mount.source, alloc_);
      put(volume, "format", "ext4", alloc_);
      Value on(rapidjson::kObjectType);
      put(on, "on", Value(rapidjson::kObjectType), alloc_);
      put(volume, "cache", std::move(on), alloc_);
      Value fsync(rapidjson::kObjectType);
      put(fsync, "fsync", Value(rapidjson::kObjectType), alloc_);
      put(volume, "sync", std::move(fsync), alloc_);
      put(type, "volume", std::move(volume), alloc_);
      mount.source = context_.volumes_directory + "/" + mount.source + "/volume.img";
    } else {
      put(type, mount.kind == Mount::Kind::tmpfs ? "tmpfs" : "virtiofs",
          Value(rapidjson::kObjectType), alloc_);
    }
    Value one(rapidjson::kObjectType);
    put(one, "type", std::move(type), alloc_);
    put(one, "source", mount.source, alloc_);
    put(one, "destination", mount.destination, alloc_);
    put(one, "options", strings(mount.options, alloc_), alloc_);
    list.PushBack(one, alloc_);
  }

  Value mounts() {
    Value list(rapidjson::kArrayType);
    for (const auto& text : parsed_.all("--volume")) {
      add_mount(list, parse_volume(text, context_.host));
    }
    for (const auto& text : parsed_.all("--mount")) {
      add_mount(list, parse_mount(text, context_.host));
    }
    for (const auto& path : parsed_.all("--tmpfs")) {
      add_mount(list, Mount{Mount::Kind::tmpfs, "tmpfs", path, {}});
    }
    return list;
  }

  Value ports() {
    Value list(rapidjson::kArrayType);
    for (const auto& port : parse_ports(context_.version, parsed_.all("--publish"))) {
      Value one(rapidjson::kObjectType);
      put(one, "hostAddress", port.host_address, alloc_);
      put(one, "hostPort", Value(port.host_port), alloc_);
      put(one, "containerPort", Value(port.container_port), alloc_);
      put(one, "proto", port.protocol, alloc_);
      put(one, "count", Value(port.count), alloc_);
      list.PushBack(one, alloc_);
    }
    return list;
  }

  Value sockets() {
    Value list(rapidjson::kArrayType);
    for (const auto& socket : parse_sockets(parsed_.all("--publish-socket"))) {
      Value one(rapidjson::kObjectType);
      put(one, "hostPath", socket.host, alloc_);
      put(one, "containerPath", socket.container, alloc_);
      list.PushBack(one, alloc_);
    }
    return list;
  }

  Value labels() {
    Value object(rapidjson::kObjectType);
    for (const auto& [key, value] : parse_labels(parsed_.all("--label"))) {
      put(object, key, value, alloc_);
    }
    return object;
  }

  Value networks() {
    auto attachments = parse_networks(parsed_.all("--network"));
    if (attachments.empty()) attachments.push_back({"default", "", 1280});
    Value list(rapidjson::kArrayType);
    for (const auto& attachment : attachments) {
      if (attachment.network == "none") continue;
      Value options(rapidjson::kObjectType);
      put(options, "hostname", id_, alloc_);
      if (!attachment.mac.empty()) put(options, "macAddress", attachment.mac, alloc_);
      put(options, "mtu", Value(attachment.mtu), alloc_);
      Value one(rapidjson::kObjectType);
      put(one, "network", attachment.network, alloc_);
      put(one, "options", std::move(options), alloc_);
      list.PushBack(one, alloc_);
    }
    return list;
  }

  Value dns() {
    Value object(rapidjson::kObjectType);
    put(object, "nameservers", strings(parsed_.all("--dns"), alloc_), alloc_);
    if (parsed_.has("--dns-domain")) put(object, "domain", parsed_.get("--dns-domain"), alloc_);
    put(object, "searchDomains", strings(parsed_.all("--dns-search"), alloc_), alloc_);
    put(object, "options", strings(parsed_.all("--dns-option"), alloc_), alloc_);
    return object;
  }

  Value platform() {
    const Platform wanted = parse_platform(wanted_platform(parsed_));
    amd64_ = wanted.architecture == "amd64";
    Value object(rapidjson::kObjectType);
    put(object, "os", wanted.os, alloc_);
    put(object, "architecture", wanted.architecture, alloc_);
    if (!wanted.variant.empty()) put(object, "variant", wanted.variant, alloc_);
    return object;
  }

  Value resources() {
    const uint64_t memory = parse_memory(parsed_.get("--memory", "1g"));
    check_memory_minimum(context_.version, memory);
    Value object(rapidjson::kObjectType);
    put(object, "cpus",
        Value(int64_t{std::strtoll(parsed_.get("--cpus", "4").c_str(), nullptr, 10)}), alloc_);
    put(object, "memoryInBytes", Value(memory), alloc_);
    put(object, "cpuOverhead", Value(1), alloc_);
    return object;
  }

  Value capabilities(const char* option) {
    std::vector<std::string> names;
    for (const auto& name : parsed_.all(option)) names.push_back(parse_capability(name));
    return strings(names, alloc_);
  }

  // They add to the default list; NONE empties it.
  void paths(Value& object, const char* key, const char* option, std::vector<std::string> list) {
    if (!parsed_.has(option)) return;
    for (const auto& path : parsed_.all(option)) {
      if (path == "NONE") {
        list.clear();
      } else {
        list.push_back(path);
      }
    }
    put(object, key, strings(list, alloc_), alloc_);
  }

  // What no JSON of the CLI shows.
  Value settings() {
    Value object(rapidjson::kObjectType);
    flag(object, "rm", "--rm");
    flag(object, "detach", "--detach");
    flag(object, "interactive", "--interactive");
    for (const char* option : {"--kernel", "--init-image", "--scheme", "--cidfile", "--progress",
                               "--max-concurrent-downloads"}) {
      if (parsed_.has(option)) put(object, option + 2, parsed_.get(option), alloc_);
    }
    put(object, "kernel-arg", strings(parsed_.all("--kernel-arg"), alloc_), alloc_);
    if (parsed_.has("--ssh")) {
      const char* socket = std::getenv("SSH_AUTH_SOCK");
      put(object, "ssh-auth-sock", socket == nullptr ? "" : socket, alloc_);
    }
    return object;
  }

  const Context& context_;
  const Parsed& parsed_;
  const Image& image_;
  Json record_;
  Alloc& alloc_;
  std::string id_;
  bool amd64_ = false;
};

}  // namespace

Image default_image(const std::string& reference) {
  Image image;
  image.reference = normal_reference(reference);
  image.digest = "sha256:" + pseudo_digest(image.reference);
  image.config.SetObject();
  auto& alloc = image.config.GetAllocator();
  put(image.config, "Env", strings({kPath}, alloc), alloc);
  put(image.config, "Cmd", strings({"/bin/sh"}, alloc), alloc);
  put(image.config, "WorkingDir", "/", alloc);
  return image;
}

std::string wanted_platform(const Parsed& parsed) {
  if (parsed.has("--platform")) return parsed.get("--platform");
  const char* preset = std::getenv("CONTAINER_DEFAULT_PLATFORM");
  if (preset != nullptr && *preset != '\0' && !parsed.has("--arch") && !parsed.has("--os")) {
    return preset;
  }
  return parsed.get("--os", "linux") + "/" + normal_architecture(parsed.get("--arch", "arm64"));
}

Json build_record(const Context& context, const Parsed& parsed, const Image& image) {
  return Builder(context, parsed, image).build();
}

}  // namespace standin
