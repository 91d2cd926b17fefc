#include "standin/networks.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "standin/settings.hpp"
#include "standin/text.hpp"

namespace standin {
namespace {

constexpr int kFirstAddress = 2;

// Below its number every address is taken: were the search to begin at the first one each time, a
// thousand containers would open half a million files.
std::string search_file(const std::string& directory) { return directory + "/.next"; }

int search_from(const std::string& directory) {
  const auto text = read_file(search_file(directory));
  const long number = text ? std::strtol(text->c_str(), nullptr, 10) : 0;
  return static_cast<int>(std::max<long>(number, kFirstAddress));
}

}  // namespace

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

// A file per address, named after it and holding the ID.
int lease_address(const Store& store, const std::string& network, const std::string& id) {
  const std::string mine = store.container_path(id) + "/address-" + network;
  const auto leased = [&mine]() -> std::optional<int> {
    const auto text = read_file(mine);
    if (!text) return std::nullopt;
    return static_cast<int>(std::strtol(text->c_str(), nullptr, 10));
  };
  if (const auto number = leased()) return *number;
  const std::string directory = store.path("leases/" + network);
  make_directories(directory);
  const Fd lock = lock_file(directory + "/.lock");
  if (const auto number = leased()) return *number;  // by another call meanwhile
  for (int number = search_from(directory); number < 65536; ++number) {
    const std::string path = directory + "/" + std::to_string(number);
    const Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd) continue;
    write_all(fd.get(), id);
    if (!write_file(mine, std::to_string(number))) {  // the container is gone
      unlink(path.c_str());
      return number;
    }
    write_file(search_file(directory), std::to_string(number + 1));
    return number;
  }
  return 0;
}

void release_address(const std::string& directory, const std::string& number) {
  if (access(directory.c_str(), F_OK) != 0) return;
  const Fd lock = lock_file(directory + "/.lock");
  unlink((directory + "/" + number).c_str());
  if (std::strtol(number.c_str(), nullptr, 10) < search_from(directory)) {
    write_file(search_file(directory), number);
  }
}

void release_addresses(const Store& store, const std::string& id) {
  for (const auto& name : list_directory(store.container_path(id))) {
    if (!name.starts_with("address-")) continue;
    const auto number = read_file(store.container_path(id) + "/" + name);
    if (number) release_address(store.path("leases/" + name.substr(8)), *number);
  }
}

}  // namespace standin
