#include "standin/creation.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include "standin/networks.hpp"

namespace standin {
namespace {

// A socket that is there may be in use; any other file is deleted.
void make_room_for_sockets(const Json& record) {
  for (const auto& socket : record["configuration"]["publishedSockets"].GetArray()) {
    const std::string path = get_string(socket, "hostPath");
    struct stat info {};
    if (lstat(path.c_str(), &info) == 0) {
      if (S_ISSOCK(info.st_mode))
        fail("publish socket " + path + " already exists and may be in use");
      unlink(path.c_str());
    }
    make_directories(path.substr(0, path.rfind('/')));
  }
}

}  // namespace

std::string create_container(const Call& call) {
  const Parsed& parsed = call.parsed;
  const bool is_run = parsed.command->name == "run";
  Context context;
  context.version = call.version;
  context.volumes_directory = call.store.path("volumes");
  context.now = unix_time();
  const std::string name = parsed.get("--name");
  if (is_run && !name.empty() && call.store.exists(name)) {
    fail("container with id " + name + " already exists");
  }
  const Image image = need_image(call, parsed.words[0]);
  const Json record = build_record(context, parsed, image);
  const std::string id = get_string(record, "id");
  for (const auto& network : record["configuration"]["networks"].GetArray()) {
    const std::string wanted = get_string(network, "network");
    if (!network_exists(call.store, wanted)) fail("network " + wanted + " not found");
  }
  for (const auto& mount : record["configuration"]["mounts"].GetArray()) {
    if (mount["type"].HasMember("volume")) {
      ensure_volume(call, get_string(mount["type"]["volume"], "name"));
    }
  }
  make_room_for_sockets(record);
  if (!call.store.add_container(id, record)) {
    const std::string text = "container already exists: " + id;
    if (call.version >= Version::v1_2_2) fail(text);
    fail("failed to create container (cause: \"exists: \"" + text + "\"\")");
  }
  return id;
}

}  // namespace standin
