#include "standin/networks.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "standin/settings.hpp"
#include "standin/text.hpp"

namespace standin {

bool network_exists(const Store& store, const std::string& name) {
  return name == "default" || access(store.path("networks/" + name + ".json").c_str(), F_OK) == 0;
}

Subnet subnet_of(const Store& store, const std::string& name) {
  if (name != "default") {
    const auto text = read_file(store.path("networks/" + name + ".json"));
    const auto json = text ? parse_json(*text) : std::nullopt;
    const std::string subnet = json ? get_string(*json, "subnet") : "";
    const auto parts = split(subnet.substr(0, subnet.find('/')), '.');
    if (parts.size() == 4) return {parts[0] + "." + parts[1] + "." + parts[2]};
  }
  return {setting("SUBNET", "192.168.64")};
}

// A file per address, named after it and holding the ID; O_EXCL decides between two.
int lease_address(const Store& store, const std::string& network, const std::string& id) {
  const std::string mine = store.container_path(id) + "/address-" + network;
  if (const auto text = read_file(mine))
    return static_cast<int>(std::strtol(text->c_str(), nullptr, 10));
  const std::string directory = store.path("leases/" + network);
  make_directories(directory);
  for (int number = 2; number < 65536; ++number) {
    const std::string path = directory + "/" + std::to_string(number);
    const Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd) continue;
    write_all(fd.get(), id);
    write_file(mine, std::to_string(number));
    return number;
  }
  return 0;
}

void release_addresses(const Store& store, const std::string& id) {
  for (const auto& name : list_directory(store.container_path(id))) {
    if (!name.starts_with("address-")) continue;
    const auto number = read_file(store.container_path(id) + "/" + name);
    if (number) unlink(store.path("leases/" + name.substr(8) + "/" + *number).c_str());
  }
}

}  // namespace standin
