#include "runtime/podman_json.hpp"

#include <rapidjson/document.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <limits>

#include "runtime/json_reader.hpp"

namespace ndc::runtime {
namespace {

constexpr std::size_t kMaxJson = 4u << 20;  // what is captured of a call at most
constexpr std::size_t kMaxText = 64 * 1024;

using rapidjson::Value;

Error malformed(const char* what) {
  return {ErrorCode::kRuntimeUnavailable,
          "read podman's answer",
          {},
          what,
          "check that podman works on this node: podman info"};
}

Expected<void> parse(std::string_view text, rapidjson::Document& document) {
  if (text.size() > kMaxJson) return fail(malformed("it is longer than 4 MiB"));
  if (const auto wrong = json::parse(text, document)) return fail(malformed(*wrong));
  return {};
}

const Value* member(const Value& object, const char* name) {
  if (!object.IsObject()) return nullptr;
  const auto found = object.FindMember(name);
  return found == object.MemberEnd() ? nullptr : &found->value;
}

std::string text(const Value& object, const char* name) {
  const Value* value = member(object, name);
  if (value == nullptr || !value->IsString() || value->GetStringLength() > kMaxText) return {};
  return {value->GetString(), value->GetStringLength()};
}

bool flag(const Value& object, const char* name) {
  const Value* value = member(object, name);
  return value != nullptr && value->IsBool() && value->GetBool();
}

std::int64_t number(const Value& object, const char* name) {
  const Value* value = member(object, name);
  return value != nullptr && value->IsInt64() ? value->GetInt64() : 0;
}

pid_t process_id(const Value& object, const char* name) {
  const std::int64_t value = number(object, name);
  return value > 0 && value <= std::numeric_limits<pid_t>::max() ? static_cast<pid_t>(value) : 0;
}

// The single object in a list of one.
const Value* only_element(const rapidjson::Document& document) {
  if (!document.IsArray() || document.Size() != 1 || !document[0].IsObject()) return nullptr;
  return &document[0];
}

bool is_id(std::string_view id) {
  return id.size() == 64 && id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// Days since 1970-01-01 of a date of the Gregorian calendar.
std::int64_t days_from_civil(std::int64_t year, unsigned month, unsigned day) {
  return std::chrono::sys_days{std::chrono::year{static_cast<int>(year)} /
                               std::chrono::month{month} / std::chrono::day{day}}
      .time_since_epoch()
      .count();
}

bool digits(std::string_view text, std::size_t at, std::size_t count, unsigned& out) {
  if (text.size() < at + count) return false;
  out = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    out = out * 10 + static_cast<unsigned>(text[i] - '0');
  }
  return true;
}

}  // namespace

std::optional<WallTime> parse_rfc3339(std::string_view text) {
  unsigned year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (!digits(text, 0, 4, year) || !digits(text, 5, 2, month) || !digits(text, 8, 2, day) ||
      !digits(text, 11, 2, hour) || !digits(text, 14, 2, minute) || !digits(text, 17, 2, second) ||
      text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
      second > 60 || year > 2200) {
    return std::nullopt;
  }
  std::int64_t nanoseconds = 0;
  std::size_t at = 19;
  if (at < text.size() && text[at] == '.') {
    std::int64_t scale = 100'000'000;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
      nanoseconds += (text[at] - '0') * scale;
      scale /= 10;
    }
  }
  std::int64_t offset = 0;
  if (at < text.size() && (text[at] == '+' || text[at] == '-')) {
    unsigned hours = 0, minutes = 0;
    if (!digits(text, at + 1, 2, hours) || !digits(text, at + 4, 2, minutes) ||
        text[at + 3] != ':' || at + 6 != text.size()) {
      return std::nullopt;
    }
    offset = static_cast<std::int64_t>(hours * 3600 + minutes * 60) * (text[at] == '-' ? -1 : 1);
  } else if (at + 1 != text.size() || text[at] != 'Z') {
    return std::nullopt;
  }
  const std::int64_t seconds =
      days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
  return WallTime{std::chrono::duration_cast<WallTime::duration>(
      std::chrono::seconds{seconds} + std::chrono::nanoseconds{nanoseconds})};
}

bool is_for_platform(const PodmanImage& image, std::string_view platform) {
  std::string own = image.os + "/" + image.architecture;
  if (platform == own) return true;
  return !image.variant.empty() && platform == own + "/" + image.variant;
}

namespace {

std::map<std::string, std::string> string_map(const Value& object) {
  std::map<std::string, std::string> out;
  if (!object.IsObject()) return out;
  for (const auto& entry : object.GetObject()) {
    if (!entry.value.IsString()) continue;
    out.emplace(std::string{entry.name.GetString(), entry.name.GetStringLength()},
                std::string{entry.value.GetString(), entry.value.GetStringLength()});
  }
  return out;
}

}  // namespace

Expected<PodmanContainer> parse_container(std::string_view json) {
  rapidjson::Document document;
  if (auto ok = parse(json, document); !ok) return fail(std::move(ok.error()));
  const Value* object = only_element(document);
  const Value* state = object != nullptr ? member(*object, "State") : nullptr;
  if (state == nullptr) return fail(malformed("it describes no container"));
  PodmanContainer out;
  out.id = text(*object, "Id");
  if (!is_id(out.id)) return fail(malformed("a container without an id"));
  out.name = text(*object, "Name");
  out.status = text(*state, "Status");
  out.running = flag(*state, "Running");
  out.oom_killed = flag(*state, "OOMKilled");
  out.pid = process_id(*state, "Pid");
  out.conmon_pid = process_id(*state, "ConmonPid");
  if (const Value* code = member(*state, "ExitCode")) {
    if (!code->IsInt() || code->GetInt() < -1 || code->GetInt() > 255) {
      return fail(malformed("an exit code out of range"));
    }
    out.exit_code = code->GetInt();
  }
  out.started_at = parse_rfc3339(text(*state, "StartedAt"));
  out.finished_at = parse_rfc3339(text(*state, "FinishedAt"));
  if (const Value* host = member(*object, "HostConfig")) {
    if (const Value* log = member(*host, "LogConfig")) out.log_path = text(*log, "Path");
  }
  const Value* config = member(*object, "Config");
  const Value* labels = config != nullptr ? member(*config, "Labels") : nullptr;
  if (labels != nullptr) out.labels = string_map(*labels);
  return out;
}

Expected<PodmanImage> parse_image(std::string_view json) {
  rapidjson::Document document;
  if (auto ok = parse(json, document); !ok) return fail(std::move(ok.error()));
  const Value* object = only_element(document);
  if (object == nullptr) return fail(malformed("it describes no image"));
  PodmanImage out;
  out.id = text(*object, "Id");
  if (!is_id(out.id)) return fail(malformed("an image without an id"));
  out.os = text(*object, "Os");
  out.architecture = text(*object, "Architecture");
  out.variant = text(*object, "Variant");
  out.digest = text(*object, "Digest");
  if (const Value* config = member(*object, "Config")) {
    if (std::string signal = text(*config, "StopSignal"); !signal.empty()) {
      out.stop_signal = std::move(signal);
    }
  }
  return out;
}

Expected<std::vector<PodmanListed>> parse_list(std::string_view json) {
  rapidjson::Document document;
  if (auto ok = parse(json, document); !ok) return fail(std::move(ok.error()));
  std::vector<PodmanListed> out;
  if (document.IsNull()) return out;  // of no container at all
  if (!document.IsArray()) return fail(malformed("it is no list"));
  for (const Value& object : document.GetArray()) {
    if (!object.IsObject()) continue;
    PodmanListed entry;
    entry.id = text(object, "Id");
    entry.running = text(object, "State") == "running";
    entry.only_stored = text(object, "State") == "storage";
    const Value* names = member(object, "Names");
    if (names != nullptr && names->IsArray() && !names->Empty() && (*names)[0].IsString()) {
      entry.name = {(*names)[0].GetString(), (*names)[0].GetStringLength()};
    }
    if (const std::int64_t seconds = number(object, "Created"); seconds > 0) {
      entry.created_at = WallTime{std::chrono::seconds{seconds}};
    }
    if (const Value* labels = member(object, "Labels")) entry.labels = string_map(*labels);
    if (is_id(entry.id) && !entry.name.empty()) out.push_back(std::move(entry));
  }
  return out;
}

namespace {

// Where containers/storage keeps its index of images.
std::string images_file(const Value& store) {
  const std::string root = text(store, "graphRoot");
  const std::string driver = text(store, "graphDriverName");
  if (!root.starts_with('/') || driver.empty() || driver.find('/') != std::string::npos) return {};
  if (const Value* options = member(store, "graphOptions"); options && options->IsObject()) {
    for (const auto& option : options->GetObject()) {
      const std::string_view name{option.name.GetString(), option.name.GetStringLength()};
      if (name.find("imagestore") != std::string_view::npos) return {};  // images elsewhere too
    }
  }
  return root + "/" + driver + "-images/images.json";
}

}  // namespace

Expected<PodmanInfo> parse_info(std::string_view json) {
  rapidjson::Document document;
  if (auto ok = parse(json, document); !ok) return fail(std::move(ok.error()));
  PodmanInfo out;
  const Value* version = member(document, "version");
  if (version != nullptr) out.version = valid_utf8(text(*version, "Version"));
  if (out.version.empty() || out.version.size() > 64) return fail(malformed("it has no version"));
  const Value* host = member(document, "host");
  const Value* oci_runtime = host != nullptr ? member(*host, "ociRuntime") : nullptr;
  if (oci_runtime != nullptr) out.oci_runtime = valid_utf8(text(*oci_runtime, "name"));
  if (const Value* store = member(document, "store")) out.images_file = images_file(*store);
  return out;
}

}  // namespace ndc::runtime
