#include "standin/view.hpp"

#include <cmath>
#include <cstdlib>
#include <ctime>

#include "standin/faults.hpp"
#include "standin/networks.hpp"
#include "standin/text.hpp"

namespace standin {
namespace {

void remove(Value& object, const char* key) {
  if (object.HasMember(key)) object.RemoveMember(key);
}

Value configuration(Version version, const Json& record, Alloc& alloc) {
  Value value(record["configuration"], alloc);
  if (version < Version::v0_12_3) {
    remove(value, "capAdd");
    remove(value, "capDrop");
  }
  if (is_old(version)) {
    remove(value["resources"], "cpuOverhead");
    remove(value, "shmSize");
    remove(value, "stopSignal");
    for (auto& socket : value["publishedSockets"].GetArray()) {
      for (const char* key : {"hostPath", "containerPath"}) {
        socket[key] = str("file://" + get_string(socket, key), alloc);
      }
    }
  } else {
    put(value, "creationDate", date(version, record["created"].GetDouble(), alloc), alloc);
  }
  if (version < Version::v1_2_2) {
    remove(value, "maskedPaths");
    remove(value, "readonlyPaths");
  }
  return value;
}

Value attachments(Version version, const Store& store, const Json& record, Alloc& alloc) {
  Value list(rapidjson::kArrayType);
  for (const auto& wanted : record["configuration"]["networks"].GetArray()) {
    const std::string network = get_string(wanted, "network");
    const auto& options = wanted["options"];
    const std::string id = get_string(record, "id");
    const Subnet subnet = subnet_of(store, network);
    const std::string seed = pseudo_digest(network + "/" + id);
    Value one(rapidjson::kObjectType);
    put(one, "network", network, alloc);
    put(one, "hostname", get_string(options, "hostname"), alloc);
    put(one, "ipv4Address", address_of(store, network, id) + "/24", alloc);
    put(one, "ipv4Gateway", subnet.prefix + ".1", alloc);
    if (network == "default") {
      put(one, "ipv6Address", "fd4a:7c1e:90b2:3d55::" + seed.substr(0, 4) + "/64", alloc);
    }
    std::string mac = get_string(options, "macAddress");
    if (mac.empty()) {
      mac = "f6:" + seed.substr(0, 2) + ":" + seed.substr(2, 2) + ":" + seed.substr(4, 2) + ":" +
            seed.substr(6, 2) + ":" + seed.substr(8, 2);
    }
    put(one, "macAddress", mac, alloc);
    put(one, "mtu", Value(options["mtu"], alloc), alloc);
    if (version >= Version::v1_1_0) put(one, "variant", "reserved", alloc);
    list.PushBack(one, alloc);
  }
  return list;
}

}  // namespace

Keys keys_of(Version version) { return is_old(version) ? Keys::arbitrary : Keys::sorted; }

Value date(Version version, double unix_time, Alloc& alloc) {
  if (is_old(version)) {
    // Microseconds, and never a whole number.
    return Value(std::round((unix_time - 978307200.0) * 1e6) / 1e6);
  }
  const auto seconds = static_cast<time_t>(unix_time);
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return str(text, alloc);
}

std::string address_of(const Store& store, const std::string& network, const std::string& id) {
  // 252 addresses for each third byte, so that a thousand containers fit.
  const int number = lease_address(store, network, id) - 2;
  const std::string prefix = subnet_of(store, network).prefix;
  const auto dot = prefix.rfind('.') + 1;
  const long third = std::strtol(prefix.c_str() + dot, nullptr, 10) + number / 252;
  return prefix.substr(0, dot) + std::to_string(third) + "." + std::to_string(2 + number % 252);
}

Value view_container(Version version, const Store& store, const Json& record, Alloc& alloc) {
  const std::string id = get_string(record, "id");
  ContainerState state = store.state(id);
  if (hides_start_dates(store)) state.started.reset();
  const std::string forced = forced_state(store, id);
  const std::string word = !forced.empty() ? forced : state.running ? "running" : "stopped";
  Value networks(rapidjson::kArrayType);
  if (word == "running") networks = attachments(version, store, record, alloc);

  Value object(rapidjson::kObjectType);
  put(object, "configuration", configuration(version, record, alloc), alloc);
  if (is_old(version)) {
    put(object, "status", word, alloc);
    put(object, "networks", std::move(networks), alloc);
    if (state.started) put(object, "startedDate", date(version, *state.started, alloc), alloc);
    return object;
  }
  put(object, "id", id, alloc);
  Value status(rapidjson::kObjectType);
  put(status, "state", word, alloc);
  put(status, "networks", std::move(networks), alloc);
  if (state.started) put(status, "startedDate", date(version, *state.started, alloc), alloc);
  put(object, "status", std::move(status), alloc);
  return object;
}

}  // namespace standin
