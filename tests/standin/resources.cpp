// network and volume.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "standin/commands.hpp"
#include "standin/networks.hpp"
#include "standin/text.hpp"
#include "standin/values.hpp"
#include "standin/view.hpp"

namespace standin {
namespace {

// Whether a container's configuration refers to `name`, as `uses` sees it. Most are told from their
// text: of a thousand, the JSON of one or two is read.
template <typename Uses>
bool any_container(const Store& store, const std::string& name, const Uses& uses) {
  for (const auto& id : store.container_ids()) {
    const auto text = read_file(store.container_path(id) + "/record.json");
    if (!text || text->find(name) == std::string::npos) continue;
    const auto record = parse_json(*text);
    if (record && uses((*record)["configuration"])) return true;
  }
  return false;
}

Value label_object(const std::vector<Pair>& labels, Alloc& alloc) {
  Value object(rapidjson::kObjectType);
  for (const auto& [key, value] : labels) put(object, key, value, alloc);
  return object;
}

// ---------------------------------------------------------------------------------------------

std::vector<std::string> network_names(const Store& store) {
  std::vector<std::string> names = {"default"};
  for (const auto& file : list_directory(store.path("networks"))) {
    if (file.ends_with(".json")) names.push_back(file.substr(0, file.size() - 5));
  }
  return names;
}

// Of the first subnet that no network has: 192.168.65 to 192.168.255, then those of 10.
std::string free_prefix(const Store& store) {
  std::set<std::string> taken;
  for (const auto& name : network_names(store)) taken.insert(subnet_of(store, name).prefix);
  for (int number = 65;; ++number) {
    const std::string third = std::to_string(number % 256);
    const std::string prefix =
        number < 256 ? "192.168." + third : "10." + std::to_string(number / 256) + "." + third;
    if (!taken.contains(prefix)) return prefix;
  }
}

int create_network(const Call& call) {
  const Parsed& parsed = call.parsed;
  const std::string& name = parsed.words[0];
  if (!is_network_name(name) || name == "none") fail("invalid network name: " + name);
  const auto labels = parse_labels(parsed.all("--label"));
  for (const auto& label : labels) check_resource_label(label);
  const Fd lock = call.store.lock("lock");
  if (network_exists(call.store, name)) fail("network " + name + " already exists");
  std::string subnet = parsed.get("--subnet");
  const bool asked = !subnet.empty();
  if (!asked) subnet = free_prefix(call.store) + ".0/24";
  Json json(rapidjson::kObjectType);
  auto& alloc = json.GetAllocator();
  put(json, "name", name, alloc);
  put(json, "mode", parsed.has("--internal") ? "hostOnly" : "nat", alloc);
  put(json, "subnet", subnet, alloc);
  put(json, "asked", Value(asked), alloc);
  if (parsed.has("--subnet-v6")) put(json, "subnet6", parsed.get("--subnet-v6"), alloc);
  put(json, "plugin", parsed.get("--plugin", "container-network-vmnet"), alloc);
  put(json, "variant", parsed.get("--plugin-variant", "reserved"), alloc);
  put(json, "options", label_object(parse_labels(parsed.all("--option")), alloc), alloc);
  put(json, "labels", label_object(labels, alloc), alloc);
  put(json, "created", Value(unix_time()), alloc);
  write_file(call.store.path("networks/" + name + ".json"), to_plain_text(json));
  print_line(name);
  return 0;
}

Value view_network(const Call& call, const std::string& name, Alloc& alloc) {
  Json stored(rapidjson::kObjectType);
  if (name == "default") {
    auto& own = stored.GetAllocator();
    put(stored, "mode", "nat", own);
    put(stored, "plugin", "container-network-vmnet", own);
    put(stored, "variant", "reserved", own);
    put(stored, "subnet6", "fd4a:7c1e:90b2:3d55::/64", own);
    put(stored, "created", Value(1786291331.25), own);
    Value labels(rapidjson::kObjectType);
    put(labels, "com.apple.container.resource.role", "builtin", own);
    put(stored, "labels", std::move(labels), own);
    put(stored, "options", Value(rapidjson::kObjectType), own);
  } else if (auto json = parse_json(
                 read_file(call.store.path("networks/" + name + ".json")).value_or(""))) {
    stored = *std::move(json);
  }
  const std::string prefix = subnet_of(call.store, name).prefix;
  const bool old = is_old(call.version);
  Value status(rapidjson::kObjectType);
  put(status, "ipv4Gateway", prefix + ".1", alloc);
  put(status, "ipv4Subnet", prefix + ".0/24", alloc);
  const std::string six = get_string(stored, "subnet6");
  if (!six.empty()) put(status, "ipv6Subnet", six, alloc);
  Value config(rapidjson::kObjectType);
  put(config, old ? "id" : "name", name, alloc);
  put(config, "mode", get_string(stored, "mode"), alloc);
  put(config, "creationDate", date(call.version, stored["created"].GetDouble(), alloc), alloc);
  put(config, "labels", Value(stored["labels"], alloc), alloc);
  if (get_bool(stored, "asked")) put(config, "ipv4Subnet", get_string(stored, "subnet"), alloc);
  if (old) {
    Value plugin(rapidjson::kObjectType);
    put(plugin, "plugin", get_string(stored, "plugin"), alloc);
    put(plugin, "variant", get_string(stored, "variant"), alloc);
    put(config, "pluginInfo", std::move(plugin), alloc);
  } else {
    put(config, "plugin", get_string(stored, "plugin"), alloc);
    put(config, "options", Value(stored["options"], alloc), alloc);
  }
  Value object(rapidjson::kObjectType);
  put(object, "id", name, alloc);
  put(object, old ? "config" : "configuration", std::move(config), alloc);
  if (old) put(object, "state", "running", alloc);
  put(object, "status", std::move(status), alloc);
  return object;
}

int delete_networks(const Call& call) {
  std::vector<std::string> names = call.parsed.words;
  if (names.empty() && !call.parsed.has("--all"))
    fail("no networks specified and --all not supplied");
  if (names.empty()) names = network_names(call.store);
  std::vector<std::string> failed;
  const Fd lock = call.store.lock("lock");
  for (const auto& name : names) {
    if (name == "default" && call.parsed.has("--all")) continue;
    if (name == "default" || !network_exists(call.store, name) ||
        is_network_used(call.store, name)) {
      failed.push_back(name);
      continue;
    }
    unlink(call.store.path("networks/" + name + ".json").c_str());
    print_line(name);
  }
  if (failed.empty()) return 0;
  fail("failed to delete one or more networks: [\"" + join(failed, "\", \"") + "\"]");
}

// ---------------------------------------------------------------------------------------------

bool make_volume(const Call& call, const std::string& name, uint64_t size, const Json& more) {
  const std::string directory = call.store.path("volumes/" + name);
  if (mkdir(directory.c_str(), 0755) != 0) return false;
  make_directories(directory + "/data/lost+found");
  const Fd image(open((directory + "/volume.img").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  Json json;
  json.CopyFrom(more, json.GetAllocator());
  auto& alloc = json.GetAllocator();
  put(json, "name", name, alloc);
  put(json, "size", Value(size), alloc);
  put(json, "created", Value(unix_time()), alloc);
  return write_file(directory + "/record.json", to_plain_text(json));
}

int create_volume(const Call& call) {
  const Parsed& parsed = call.parsed;
  const std::string& name = parsed.words[0];
  if (!is_volume_name(name)) fail("invalid volume name '" + name + "'");
  const uint64_t size = parse_memory(parsed.get("-s", "512g"));
  if (size < (uint64_t{1} << 20)) fail("volume size must be at least 1 MiB");
  Json more(rapidjson::kObjectType);
  auto& alloc = more.GetAllocator();
  const auto labels = parse_labels(parsed.all("--label"));
  for (const auto& label : labels) check_resource_label(label);
  put(more, "labels", label_object(labels, alloc), alloc);
  put(more, "options", label_object(parse_labels(parsed.all("--opt")), alloc), alloc);
  if (!make_volume(call, name, size, more)) fail("volume '" + name + "' already exists");
  print_line(name);
  return 0;
}

Value view_volume(const Call& call, const std::string& name, bool inspection, Alloc& alloc) {
  const auto stored =
      parse_json(read_file(call.store.path("volumes/" + name + "/record.json")).value_or(""));
  Value config(rapidjson::kObjectType);
  if (!stored) return config;
  put(config, "name", name, alloc);
  put(config, "driver", "local", alloc);
  put(config, "format", "ext4", alloc);
  put(config, "source", call.store.path("volumes/" + name + "/volume.img"), alloc);
  put(config, "labels", Value((*stored)["labels"], alloc), alloc);
  put(config, "options", Value((*stored)["options"], alloc), alloc);
  put(config, "sizeInBytes", Value((*stored)["size"], alloc), alloc);
  // In 0.x inspect alone writes ISO dates.
  const Version dates = inspection ? kNewest : call.version;
  const double created = (*stored)["created"].GetDouble();
  if (is_old(call.version)) {
    put(config, "createdAt", date(dates, created, alloc), alloc);
    return config;
  }
  put(config, "creationDate", date(dates, created, alloc), alloc);
  Value object(rapidjson::kObjectType);
  put(object, "id", name, alloc);
  put(object, "configuration", std::move(config), alloc);
  return object;
}

int delete_volumes(const Call& call) {
  std::vector<std::string> names = call.parsed.words;
  if (names.empty() && !call.parsed.has("--all")) {
    if (is_old(call.version)) return 0;
    fail("no volumes specified and --all not supplied");
  }
  if (names.empty()) names = list_directory(call.store.path("volumes"));
  std::vector<std::string> failed;
  for (const auto& name : names) {
    if (access(call.store.path("volumes/" + name + "/record.json").c_str(), F_OK) != 0 ||
        is_volume_used(call.store, name)) {
      failed.push_back(name);
      continue;
    }
    remove_tree(call.store.path("volumes/" + name));
    print_line(name);
  }
  if (failed.empty()) return 0;
  fail("failed to delete one or more volumes: [\"" + join(failed, "\", \"") + "\"]");
}

}  // namespace

bool is_network_used(const Store& store, const std::string& name) {
  return any_container(store, name, [&](const Value& configuration) {
    for (const auto& network : configuration["networks"].GetArray()) {
      if (get_string(network, "network") == name) return true;
    }
    return false;
  });
}

bool is_volume_used(const Store& store, const std::string& name) {
  return any_container(store, name, [&](const Value& configuration) {
    for (const auto& mount : configuration["mounts"].GetArray()) {
      const auto& type = mount["type"];
      if (type.HasMember("volume") && get_string(type["volume"], "name") == name) return true;
    }
    return false;
  });
}

void ensure_volume(const Call& call, const std::string& name) {
  Json more(rapidjson::kObjectType);
  put(more, "labels", Value(rapidjson::kObjectType), more.GetAllocator());
  put(more, "options", Value(rapidjson::kObjectType), more.GetAllocator());
  if (make_volume(call, name, uint64_t{512} << 30, more) && !name.starts_with("anon-")) {
    write_all(STDERR_FILENO,
              "named volume was automatically created: [\"volume\": " + name + "]\n");
  }
}

int command_network(const Call& call, const std::string& verb) {
  if (verb == "create") return create_network(call);
  if (verb == "delete") return delete_networks(call);
  Json list(rapidjson::kArrayType);
  auto& alloc = list.GetAllocator();
  if (verb == "inspect") {
    std::vector<std::string> missing;
    for (const auto& name : call.parsed.words) {
      if (network_exists(call.store, name)) {
        list.PushBack(view_network(call, name, alloc), alloc);
      } else {
        missing.push_back(name);
      }
    }
    if (!missing.empty() && !is_old(call.version)) {
      fail("network not found: " + join(missing, ", "));
    }
    print_inspection(call, list);
    return 0;
  }
  if (verb == "prune") {
    for (const auto& name : network_names(call.store)) {
      if (name == "default" || is_network_used(call.store, name)) continue;
      unlink(call.store.path("networks/" + name + ".json").c_str());
      print_line(name);
    }
    return 0;
  }
  const bool json = call.parsed.get("--format", "table") == "json";
  for (const auto& name : network_names(call.store)) {
    if (json) {
      list.PushBack(view_network(call, name, alloc), alloc);
    } else {
      print_line(name);
    }
  }
  if (json) print_json(call, list, false);
  return 0;
}

int command_volume(const Call& call, const std::string& verb) {
  if (verb == "create") return create_volume(call);
  if (verb == "delete") return delete_volumes(call);
  Json list(rapidjson::kArrayType);
  auto& alloc = list.GetAllocator();
  if (verb == "inspect") {
    for (const auto& name : call.parsed.words) {
      if (access(call.store.path("volumes/" + name + "/record.json").c_str(), F_OK) != 0) {
        fail("volume '" + name + "' not found");
      }
      list.PushBack(view_volume(call, name, true, alloc), alloc);
    }
    print_json(call, list, true);
    return 0;
  }
  const bool json = call.parsed.get("--format", "table") == "json";
  for (const auto& name : list_directory(call.store.path("volumes"))) {
    if (verb == "prune") {
      if (is_volume_used(call.store, name)) continue;
      remove_tree(call.store.path("volumes/" + name));
      print_line(name);
    } else if (json) {
      list.PushBack(view_volume(call, name, false, alloc), alloc);
    } else {
      print_line(name);
    }
  }
  if (json && verb == "list") print_json(call, list, false);
  return 0;
}

}  // namespace standin
