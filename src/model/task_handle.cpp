#include "model/task_handle.hpp"

#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "model/signals.hpp"

namespace ndc {
namespace {

constexpr std::size_t kMaxBytes = 1u << 20;

using Writer = rapidjson::Writer<rapidjson::StringBuffer>;

void put(Writer& out, const char* key, const std::string& value) {
  out.Key(key);
  out.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
}

Error unreadable(std::string cause) {
  return {.code = ErrorCode::kInvalidConfig,
          .what = "read the task's handle",
          .cause = std::move(cause),
          .hint = "the task cannot be recovered and will be started anew"};
}

std::string get_string(const rapidjson::Value& object, const char* key) {
  auto it = object.FindMember(key);
  if (it == object.MemberEnd() || !it->value.IsString()) return {};
  return {it->value.GetString(), it->value.GetStringLength()};
}

int get_int(const rapidjson::Value& object, const char* key) {
  auto it = object.FindMember(key);
  return it != object.MemberEnd() && it->value.IsInt() ? it->value.GetInt() : 0;
}

bool get_bool(const rapidjson::Value& object, const char* key) {
  auto it = object.FindMember(key);
  return it != object.MemberEnd() && it->value.IsBool() && it->value.GetBool();
}

}  // namespace

std::string encode_handle(const TaskHandle& handle) {
  rapidjson::StringBuffer buffer;
  Writer out{buffer};
  out.StartObject();
  out.Key("version");
  out.Int(TaskHandle::kVersion);
  put(out, "task_id", handle.task_id);
  put(out, "task_name", handle.task_name);
  put(out, "alloc_id", handle.alloc_id);
  put(out, "node_id", handle.node_id);
  put(out, "runtime", handle.runtime);
  put(out, "container_name", handle.container.name);
  put(out, "container_id", handle.container.id);
  out.Key("container_state");
  out.StartObject();
  for (const auto& [key, value] : handle.container.state) put(out, key.c_str(), value);
  out.EndObject();
  put(out, "image", handle.image);
  put(out, "image_id", handle.image_id);
  out.Key("stop_signal");
  out.Int(handle.stop_signal);
  out.Key("tty");
  out.Bool(handle.tty);
  put(out, "stdout_path", handle.stdout_path);
  put(out, "stderr_path", handle.stderr_path);
  out.Key("started_at_ns");
  out.Int64(
      std::chrono::duration_cast<std::chrono::nanoseconds>(handle.started_at.time_since_epoch())
          .count());
  if (handle.network) {
    out.Key("network");
    out.StartObject();
    put(out, "address", handle.network->address);
    out.Key("auto_advertise");
    out.Bool(handle.network->auto_advertise);
    out.Key("ports");
    out.StartObject();
    for (const auto& [label, port] : handle.network->ports) {
      out.Key(label.c_str());
      out.Int(port);
    }
    out.EndObject();
    out.EndObject();
  }
  out.EndObject();
  return {buffer.GetString(), buffer.GetSize()};
}

Expected<TaskHandle> decode_handle(std::string_view bytes) {
  if (bytes.size() > kMaxBytes) return fail(unreadable("it is larger than 1 MiB"));
  rapidjson::Document json;
  json.Parse<rapidjson::kParseIterativeFlag>(bytes.data(), bytes.size());
  if (json.HasParseError()) {
    return fail(unreadable(std::string{"it is no JSON: "} +
                           rapidjson::GetParseError_En(json.GetParseError())));
  }
  if (!json.IsObject()) return fail(unreadable("it is no JSON object"));
  const int version = get_int(json, "version");
  if (version < 1) return fail(unreadable("it has no version"));
  if (version > TaskHandle::kVersion) {
    return fail(unreadable("it was written by a newer version of the driver (layout " +
                           std::to_string(version) + ", this one reads up to " +
                           std::to_string(TaskHandle::kVersion) + ")"));
  }
  TaskHandle handle;
  handle.task_id = get_string(json, "task_id");
  handle.task_name = get_string(json, "task_name");
  handle.alloc_id = get_string(json, "alloc_id");
  handle.node_id = get_string(json, "node_id");
  handle.runtime = get_string(json, "runtime");
  handle.container.name = get_string(json, "container_name");
  handle.container.id = get_string(json, "container_id");
  handle.image = get_string(json, "image");
  handle.image_id = get_string(json, "image_id");
  handle.stop_signal = get_int(json, "stop_signal");
  if (handle.stop_signal < 1 || handle.stop_signal > kLastSignal) handle.stop_signal = kSigTerm;
  handle.tty = get_bool(json, "tty");
  handle.stdout_path = get_string(json, "stdout_path");
  handle.stderr_path = get_string(json, "stderr_path");
  if (auto it = json.FindMember("started_at_ns"); it != json.MemberEnd() && it->value.IsInt64()) {
    handle.started_at = WallTime{std::chrono::duration_cast<WallTime::duration>(
        std::chrono::nanoseconds{it->value.GetInt64()})};
  }
  if (auto it = json.FindMember("container_state");
      it != json.MemberEnd() && it->value.IsObject()) {
    for (const auto& member : it->value.GetObject()) {
      if (member.value.IsString()) {
        handle.container.state[member.name.GetString()] = {member.value.GetString(),
                                                           member.value.GetStringLength()};
      }
    }
  }
  if (auto it = json.FindMember("network"); it != json.MemberEnd() && it->value.IsObject()) {
    DriverNetwork network;
    network.address = get_string(it->value, "address");
    network.auto_advertise = get_bool(it->value, "auto_advertise");
    if (auto ports = it->value.FindMember("ports");
        ports != it->value.MemberEnd() && ports->value.IsObject()) {
      for (const auto& port : ports->value.GetObject()) {
        if (port.value.IsInt()) network.ports[port.name.GetString()] = port.value.GetInt();
      }
    }
    handle.network = std::move(network);
  }
  if (handle.task_id.empty() || handle.container.name.empty() || handle.container.id.empty()) {
    return fail(unreadable("it names no task or no container"));
  }
  return handle;
}

}  // namespace ndc
