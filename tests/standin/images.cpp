// Images are records: a reference, a digest, the platforms that were pulled and the OCI config that
// `registry.json` in the state directory gives them. Nothing is fetched from anywhere.
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "standin/archive.hpp"
#include "standin/commands.hpp"
#include "standin/settings.hpp"
#include "standin/text.hpp"
#include "standin/values.hpp"
#include "standin/view.hpp"

namespace standin {
namespace {

std::string image_path(const Store& store, const std::string& reference) {
  return store.path("images/" + pseudo_digest(reference).substr(0, 32) + ".json");
}

std::optional<Json> load(const Store& store, const std::string& reference) {
  const auto text = read_file(image_path(store, reference));
  return text ? parse_json(*text) : std::nullopt;
}

Image to_image(const Json& stored) {
  Image image;
  image.reference = get_string(stored, "reference");
  image.digest = get_string(stored, "digest");
  image.config.CopyFrom(stored["config"], image.config.GetAllocator());
  return image;
}

void save(const Store& store, const Image& image, const std::string& platform, double created) {
  Json json(rapidjson::kObjectType);
  auto& alloc = json.GetAllocator();
  std::vector<std::string> platforms;
  if (const auto old = load(store, image.reference)) platforms = get_strings(*old, "platforms");
  if (std::find(platforms.begin(), platforms.end(), platform) == platforms.end()) {
    platforms.push_back(platform);
  }
  put(json, "reference", image.reference, alloc);
  put(json, "digest", image.digest, alloc);
  put(json, "created", Value(created), alloc);
  put(json, "platforms", strings(platforms, alloc), alloc);
  put(json, "config", Value(image.config, alloc), alloc);
  write_file(image_path(store, image.reference), to_plain_text(json));
}

[[noreturn]] void http_error(const std::string& reference, const std::string& status,
                             const std::string& reason, const std::string& more = {}) {
  const auto slash = reference.find('/');
  const std::string host = reference.substr(0, slash);
  std::string name = reference.substr(slash + 1);
  std::string tag = "latest";
  const auto cut = name.find('@') != std::string::npos ? name.find('@') : name.rfind(':');
  if (cut != std::string::npos) {
    tag = name.substr(cut + 1);
    name.erase(cut);
  }
  fail("HTTP request to https://" + host + "/v2/" + name + "/manifests/" + tag +
       " failed with response: " + status + ". Reason: " + reason + more);
}

// What registry.json says of a reference; nothing if it says nothing of any.
std::optional<Json> described(const Store& store, const std::string& reference, bool* listed) {
  const auto text = read_file(store.path("registry.json"));
  const auto all = text ? parse_json(*text) : std::nullopt;
  *listed = !all.has_value();
  if (!all || !all->IsObject()) return std::nullopt;
  for (const auto& member : all->GetObject()) {
    if (normal_reference(member.name.GetString()) != reference) continue;
    *listed = true;
    Json copy;
    copy.CopyFrom(member.value, copy.GetAllocator());
    return copy;
  }
  return std::nullopt;
}

void check_reachable(const Call& call, const std::string& reference) {
  const std::string host = reference.substr(0, reference.find('/'));
  const std::string name = reference.substr(host.size());
  if (call.fault && call.fault->kind == "keychain" && !stored_user(call.store, host).empty()) {
    fail("error querying keychain for " + host + ": unhandledError(status: -25308)");
  }
  if (host.starts_with("unreachable.")) {
    fail(
        "The Internet connection appears to be offline. NSURLErrorDomain Code=-1003 \"A server "
        "with the specified hostname could not be found.\" " +
        host);
  }
  if (name.find("notfound") != std::string::npos) {
    http_error(reference, "404 Not Found",
               "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}");
  }
  if (host.starts_with("private.")) {
    const std::string user = stored_user(call.store, host);
    if (user.empty()) {
      http_error(reference, "401 Unauthorized", "unauthorized: authentication required",
                 " no credentials found for host " + host);
    }
    if (user != "user" || stored_password(call.store, host) != setting("PASSWORD", "secret")) {
      http_error(reference, "401 Unauthorized", "unauthorized: incorrect username or password");
    }
  }
}

Value history(Alloc& alloc) {
  Value list(rapidjson::kArrayType);
  for (const char* step : {"ADD rootfs.tar.gz / # buildkit", "CMD [\"/bin/sh\"]"}) {
    Value one(rapidjson::kObjectType);
    put(one, "created", "2026-01-28T01:18:42Z", alloc);
    put(one, "created_by", step, alloc);
    put(one, "comment", "buildkit.dockerfile.v0", alloc);
    if (list.Size() == 1) put(one, "empty_layer", Value(true), alloc);
    list.PushBack(one, alloc);
  }
  return list;
}

Value variant(const Json& stored, const std::string& platform, bool old, Alloc& alloc) {
  const auto parts = split(platform, '/');
  Value place(rapidjson::kObjectType);
  put(place, "os", parts[0], alloc);
  put(place, "architecture", parts[1], alloc);
  if (parts.size() > 2 || parts[1] == "arm64") {
    put(place, "variant", parts.size() > 2 ? parts[2] : "v8", alloc);
  }
  Value rootfs(rapidjson::kObjectType);
  put(rootfs, "type", "layers", alloc);
  put(rootfs, "diff_ids", strings({"sha256:" + pseudo_digest(platform)}, alloc), alloc);
  Value config(place, alloc);
  put(config, "config", Value(stored["config"], alloc), alloc);
  put(config, "created", "2026-01-28T01:18:42Z", alloc);
  put(config, "history", history(alloc), alloc);
  put(config, "rootfs", std::move(rootfs), alloc);
  Value object(rapidjson::kObjectType);
  put(object, "config", std::move(config), alloc);
  if (!old) {
    put(object, "digest", "sha256:" + pseudo_digest(get_string(stored, "reference") + platform),
        alloc);
  }
  put(object, "platform", std::move(place), alloc);
  put(object, "size", Value(4140466), alloc);
  return object;
}

Value descriptor(const Json& stored, Alloc& alloc) {
  Value object(rapidjson::kObjectType);
  put(object, "digest", get_string(stored, "digest"), alloc);
  put(object, "mediaType", "application/vnd.oci.image.index.v1+json", alloc);
  put(object, "size", Value(9218), alloc);
  return object;
}

Value view_image(const Call& call, const Json& stored, bool inspection, Alloc& alloc) {
  const bool old = is_old(call.version);
  Value variants(rapidjson::kArrayType);
  for (const auto& platform : get_strings(stored, "platforms")) {
    variants.PushBack(variant(stored, platform, old, alloc), alloc);
  }
  const std::string reference = get_string(stored, "reference");
  Value object(rapidjson::kObjectType);
  if (old && !inspection) {
    put(object, "reference", reference, alloc);
    put(object, "descriptor", descriptor(stored, alloc), alloc);
    put(object, "fullSize", "4.1 MB", alloc);
  } else if (old) {
    put(object, "name", reference, alloc);
    put(object, "index", descriptor(stored, alloc), alloc);
    put(object, "variants", std::move(variants), alloc);
  } else {
    Value configuration(rapidjson::kObjectType);
    put(configuration, "creationDate", date(call.version, stored["created"].GetDouble(), alloc),
        alloc);
    put(configuration, "descriptor", descriptor(stored, alloc), alloc);
    put(configuration, "name", reference, alloc);
    put(object, "configuration", std::move(configuration), alloc);
    put(object, "id", get_string(stored, "digest").substr(7), alloc);
    put(object, "variants", std::move(variants), alloc);
  }
  return object;
}

std::vector<Json> stored_images(const Store& store) {
  std::vector<Json> images;
  for (const auto& name : list_directory(store.path("images"))) {
    if (!name.ends_with(".json")) continue;  // another call is just writing it
    const auto text = read_file(store.path("images/" + name));
    if (auto json = text ? parse_json(*text) : std::nullopt) images.push_back(*std::move(json));
  }
  return images;
}

int list_images(const Call& call) {
  const std::string format = call.parsed.get("--format", "table");
  const bool json = format == "json";
  if (json && is_old(call.version) &&
      (call.parsed.has("--quiet") || call.parsed.has("--verbose"))) {
    fail("cannot use flag --quiet or --verbose with --format json");
  }
  Json list(rapidjson::kArrayType);
  auto& alloc = list.GetAllocator();
  for (const auto& stored : stored_images(call.store)) {
    if (json) {
      list.PushBack(view_image(call, stored, false, alloc), alloc);
    } else {
      print_line(get_string(stored, "reference"));
    }
  }
  if (json) print_json(call, list, false);
  return 0;
}

int inspect_images(const Call& call) {
  Json list(rapidjson::kArrayType);
  auto& alloc = list.GetAllocator();
  std::vector<std::string> found;
  std::vector<std::string> missing;
  for (const auto& word : call.parsed.words) {
    const auto stored = load(call.store, normal_reference(word));
    (stored ? found : missing).push_back(word);
    if (stored) list.PushBack(view_image(call, *stored, true, alloc), alloc);
  }
  if (!missing.empty() && !is_old(call.version)) {
    fail("image not found: " + join(missing, ", "));
  }
  if (!found.empty() || missing.empty()) print_inspection(call, list);
  if (!missing.empty()) {
    std::string failed;
    for (const auto& word : missing) {
      if (!failed.empty()) failed += ", ";
      failed += "(\"" + word + "\", notFound: \"image " + word + " not found\")";
    }
    fail("InspectError(succeeded: [" + (found.empty() ? "" : "\"" + join(found, "\", \"") + "\"") +
         "], failed: [" + failed + "])");
  }
  return 0;
}

int delete_images(const Call& call) {
  std::vector<std::string> words = call.parsed.words;
  if (words.empty() == !call.parsed.has("--all")) {
    fail("either image references or the --all flag must be given");
  }
  if (words.empty()) {
    for (const auto& stored : stored_images(call.store)) {
      words.push_back(get_string(stored, "reference"));
    }
  }
  std::vector<std::string> missing;
  for (const auto& word : words) {
    const std::string reference = normal_reference(word);
    if (unlink(image_path(call.store, reference).c_str()) == 0) {
      print_line(reference);
    } else {
      missing.push_back(word);
    }
  }
  write_all(is_old(call.version) ? STDOUT_FILENO : STDERR_FILENO,
            "Reclaimed Zero KB in disk space\n");
  if (!missing.empty() && !call.parsed.has("--force")) {
    fail("failed to delete one or more images: [\"" + join(missing, "\", \"") + "\"]");
  }
  return 0;
}

int load_images(const Call& call) {
  const std::string file = call.parsed.get("--input");
  const auto names = references_in_archive(file);
  if (!names) fail("failed to load image: " + (file.empty() ? "stdin" : file) + " is no archive");
  if (is_old(call.version)) print_line("Loaded images:");
  for (const auto& name : *names) {
    const Image image = default_image(name);
    save(call.store, image, "linux/arm64", unix_time());
    print_line(image.reference);
  }
  return 0;
}

}  // namespace

Image pull_image(const Call& call, const std::string& word) {
  const std::string reference = normal_reference(word);
  const std::string platform = wanted_platform(call.parsed);
  parse_platform(platform);
  check_reachable(call, reference);
  bool listed = false;
  const auto info = described(call.store, reference, &listed);
  if (!listed) http_error(reference, "404 Not Found", "manifest unknown");
  Image image = default_image(reference);
  if (info) {
    const auto platforms = get_strings(*info, "platforms");
    if (!platforms.empty() &&
        std::find(platforms.begin(), platforms.end(), platform) == platforms.end()) {
      fail("unsupported platform: no manifest of " + reference + " for platform " + platform);
    }
    // What it says replaces the default, key by key.
    auto& alloc = image.config.GetAllocator();
    for (const char* key : {"Env", "Cmd", "Entrypoint", "WorkingDir", "User", "StopSignal"}) {
      const auto found = info->FindMember(key);
      if (found == info->MemberEnd()) continue;
      image.config.RemoveMember(key);
      put(image.config, key, Value(found->value, alloc), alloc);
    }
  }
  save(call.store, image, platform, unix_time());
  return image;
}

Image need_image(const Call& call, const std::string& word) {
  const auto stored = load(call.store, normal_reference(word));
  if (!stored) return pull_image(call, word);
  const auto platforms = get_strings(*stored, "platforms");
  const std::string wanted = wanted_platform(call.parsed);
  const bool there = std::any_of(platforms.begin(), platforms.end(), [&](const auto& platform) {
    return platform == wanted || platform.starts_with(wanted + "/");
  });
  if (!there) return pull_image(call, word);
  return to_image(*stored);
}

int command_image(const Call& call, const std::string& verb) {
  if (verb == "pull") {
    show_progress(call, 2);
    pull_image(call, call.parsed.words[0]);
    return 0;
  }
  if (verb == "list") return list_images(call);
  if (verb == "inspect") return inspect_images(call);
  if (verb == "delete") return delete_images(call);
  if (verb == "load") return load_images(call);
  if (verb == "tag") {
    const auto stored = load(call.store, normal_reference(call.parsed.words[0]));
    if (!stored) fail("image " + call.parsed.words[0] + " not found");
    Image image = to_image(*stored);
    image.reference = normal_reference(call.parsed.words[1]);
    for (const auto& platform : get_strings(*stored, "platforms")) {
      save(call.store, image, platform, (*stored)["created"].GetDouble());
    }
    print_line(image.reference);
    return 0;
  }
  return 0;  // prune: there is nothing that no tag refers to
}

}  // namespace standin
