#include "runtime/apple_json.hpp"

#include <cmath>
#include <utility>

#include "runtime/apple_labels.hpp"
#include "runtime/json_reader.hpp"
#include "runtime/podman_json.hpp"

namespace ndc::runtime {
namespace {

using rapidjson::Value;

constexpr double kAppleEpoch = 978307200;  // 2001-01-01 in Unix time

Error malformed(const char* what) {
  return {ErrorCode::kRuntimeUnavailable,
          "read the answer of Apple's container",
          {},
          what,
          "check that it works on this node: container system status"};
}

Expected<void> parse(std::string_view text, rapidjson::Document& document) {
  if (const auto wrong = json::parse(text, document)) return fail(malformed(*wrong));
  return {};
}

Expected<void> parse_list(std::string_view text, rapidjson::Document& document) {
  if (auto ok = parse(text, document); !ok) return ok;
  if (!document.IsArray()) return fail(malformed("it is no list"));
  return {};
}

// Seconds since 2001 (0.x), or a date in words (1.x).
std::optional<WallTime> date(const Value* value) {
  if (const auto seconds = json::real(value)) {
    const double unix = *seconds + kAppleEpoch;
    if (!std::isfinite(unix) || unix < 0 || unix > 1e10) return std::nullopt;
    return WallTime{
        std::chrono::duration_cast<WallTime::duration>(std::chrono::duration<double>{unix})};
  }
  const std::string text = json::text(value);
  return text.empty() ? std::nullopt : parse_rfc3339(text);
}

std::string first_of(const std::string& a, const std::string& b) { return a.empty() ? b : a; }

std::map<std::string, std::string> read_labels(const Value* labels) {
  std::map<std::string, std::string> out;
  if (labels == nullptr || !labels->IsObject()) return out;
  for (const auto& label : labels->GetObject()) {
    out.emplace(std::string{label.name.GetString(), label.name.GetStringLength()},
                decode_label(json::text(&label.value)));
  }
  return out;
}

AppleContainer read_container(const Value* value) {
  AppleContainer out;
  const Value* configuration = json::member(value, "configuration");
  const Value* status = json::member(value, "status");
  const bool old_family = status == nullptr || status->IsString();
  const Value* live = old_family ? value : status;
  out.id = first_of(json::text(json::member(value, "id")),
                    json::text(json::member(configuration, "id")));
  out.state = old_family ? json::text(status) : json::text(json::member(status, "state"));
  out.image = json::text(json::member(configuration, "image", "reference"));
  out.created = date(json::member(configuration, "creationDate"));
  out.started = date(json::member(live, "startedDate"));
  json::each(json::member(live, "networks"), [&](const Value* network) {
    std::string address = json::text(json::member(network, "ipv4Address"));
    address = address.substr(0, address.find('/'));
    const std::string name = json::text(json::member(network, "network"));
    std::string host_name = json::text(json::member(network, "hostname"));
    if (host_name.ends_with('.')) host_name.pop_back();  // the form of a full name
    if (address.empty()) return;
    out.addresses.push_back({name, std::move(address), std::move(host_name)});
  });
  json::each(json::member(configuration, "networks"), [&](const Value* network) {
    std::string name = json::text(json::member(network, "network"));
    if (!name.empty()) out.networks.push_back(std::move(name));
  });
  out.labels = read_labels(json::member(configuration, "labels"));
  return out;
}

AppleVariant read_variant(const Value* value) {
  AppleVariant out;
  const Value* config = json::member(value, "config");
  const Value* platform = json::member(value, "platform");
  const auto of_platform = [&](const char* name) {
    return first_of(json::text(json::member(platform, name)),
                    json::text(json::member(config, name)));
  };
  out.os = of_platform("os");
  out.architecture = of_platform("architecture");
  out.variant = of_platform("variant");
  std::string signal = json::text(json::member(config, "config", "StopSignal"));
  if (!signal.empty()) out.stop_signal = std::move(signal);
  return out;
}

}  // namespace

Expected<std::vector<AppleContainer>> parse_apple_containers(std::string_view text) {
  rapidjson::Document document;
  if (auto ok = parse_list(text, document); !ok) return fail(std::move(ok.error()));
  std::vector<AppleContainer> out;
  bool whole = true;
  json::each(&document, [&](const Value* value) {
    out.push_back(read_container(value));
    whole = whole && !out.back().id.empty();
  });
  if (!whole) return fail(malformed("it holds a container without an id"));
  return out;
}

Expected<std::vector<AppleNetwork>> parse_apple_networks(std::string_view text) {
  rapidjson::Document document;
  if (auto ok = parse_list(text, document); !ok) return fail(std::move(ok.error()));
  std::vector<AppleNetwork> out;
  json::each(&document, [&](const Value* value) {
    const Value* old = json::member(value, "config");
    const Value* configuration = old != nullptr ? old : json::member(value, "configuration");
    AppleNetwork network;
    network.name = first_of(json::text(json::member(value, "id")),
                            json::text(json::member(configuration, "name")));
    network.labels = read_labels(json::member(configuration, "labels"));
    network.created = date(json::member(configuration, "creationDate"));
    if (!network.name.empty()) out.push_back(std::move(network));
  });
  return out;
}

Expected<std::vector<AppleImage>> parse_apple_images(std::string_view text) {
  rapidjson::Document document;
  if (auto ok = parse_list(text, document); !ok) return fail(std::move(ok.error()));
  std::vector<AppleImage> out;
  json::each(&document, [&](const Value* value) {
    AppleImage image;
    const Value* configuration = json::member(value, "configuration");
    for (const Value* name : {json::member(value, "name"), json::member(value, "reference"),
                              json::member(configuration, "name")}) {
      if (image.name.empty()) image.name = json::text(name);
    }
    for (const Value* digest : {json::member(value, "index", "digest"),
                                json::member(configuration, "descriptor", "digest"),
                                json::member(value, "descriptor", "digest")}) {
      if (image.digest.empty()) image.digest = json::text(digest);
    }
    const std::string id = json::text(json::member(value, "id"));
    if (image.digest.empty() && !id.empty()) image.digest = "sha256:" + id;
    json::each(json::member(value, "variants"),
               [&](const Value* variant) { image.variants.push_back(read_variant(variant)); });
    out.push_back(std::move(image));
  });
  return out;
}

Expected<std::map<std::string, AppleUsage>> parse_apple_stats(std::string_view text) {
  rapidjson::Document document;
  if (auto ok = parse_list(text, document); !ok) return fail(std::move(ok.error()));
  std::map<std::string, AppleUsage> out;
  json::each(&document, [&](const Value* value) {
    const std::string id = json::text(json::member(value, "id"));
    if (id.empty()) return;
    out[id] = {json::number(json::member(value, "cpuUsageUsec")),
               json::number(json::member(value, "memoryUsageBytes")),
               json::number(json::member(value, "blockReadBytes")),
               json::number(json::member(value, "blockWriteBytes")),
               json::number(json::member(value, "networkRxBytes")),
               json::number(json::member(value, "networkTxBytes")),
               json::number(json::member(value, "numProcesses"))};
  });
  return out;
}

Expected<AppleVersions> parse_apple_versions(std::string_view text) {
  rapidjson::Document document;
  if (auto ok = parse_list(text, document); !ok) return fail(std::move(ok.error()));
  AppleVersions out;
  std::size_t index = 0;
  json::each(&document, [&](const Value* value) {
    std::string version = apple_version_in(json::text(json::member(value, "version")));
    if (index == 0)
      out.cli = std::move(version);
    else if (index == 1)
      out.daemon = std::move(version);
    ++index;
  });
  if (out.cli.empty()) return fail(malformed("it names no version"));
  return out;
}

Expected<std::string> parse_apple_status(std::string_view text) {
  rapidjson::Document document;
  if (auto ok = parse(text, document); !ok) return fail(std::move(ok.error()));
  std::string status = json::text(json::member(&document, "status"));
  if (status.empty() && document.IsObject()) {
    // From 1.4.1 on it is nested, says the field.
    for (const auto& entry : std::as_const(document).GetObject()) {
      if (status.empty()) status = json::text(json::member(&entry.value, "status"));
    }
  }
  if (status.empty()) return fail(malformed("it names no status"));
  return status;
}

Expected<std::map<std::string, AppleLogin>> parse_apple_logins(std::string_view text) {
  rapidjson::Document document;
  if (auto ok = parse_list(text, document); !ok) return fail(std::move(ok.error()));
  std::map<std::string, AppleLogin> out;
  json::each(&document, [&](const Value* value) {
    std::string host = json::text(json::member(value, "name"));
    if (host.empty()) host = json::text(json::member(value, "id"));
    if (host.empty()) host = json::text(json::member(value, "hostname"));
    if (host.empty()) return;
    auto modified = date(json::member(value, "modificationDate"));
    if (!modified) modified = date(json::member(value, "creationDate"));
    out[host] = {json::text(json::member(value, "username")), modified};
  });
  return out;
}

std::string apple_version_in(std::string_view text) {
  const std::size_t word = text.find("version ");
  if (word != std::string_view::npos) text.remove_prefix(word + 8);
  const std::size_t end = text.find_first_not_of("0123456789.");
  return std::string{text.substr(0, end)};
}

const AppleVariant* variant_for(const AppleImage& image, std::string_view platform) {
  for (const AppleVariant& variant : image.variants) {
    const std::string plain = variant.os + "/" + variant.architecture;
    if (platform == plain) return &variant;
    if (!variant.variant.empty() && platform == plain + "/" + variant.variant) return &variant;
    // "linux/arm64/v8" is what "linux/arm64" means.
    if (variant.variant.empty() && platform == "linux/arm64/v8" && plain == "linux/arm64") {
      return &variant;
    }
  }
  return nullptr;
}

}  // namespace ndc::runtime
