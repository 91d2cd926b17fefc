#include "standin/archive.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "standin/json.hpp"

namespace standin {
namespace {

// The members of a tar that are small enough to be an index: name and content.
template <typename Each>
bool walk(FILE* file, const Each& each) {
  char header[512];
  bool any = false;
  while (std::fread(header, 1, sizeof header, file) == sizeof header) {
    if (header[0] == '\0') return any;
    if (std::memcmp(header + 257, "ustar", 5) != 0) return false;
    any = true;
    const unsigned long size = std::strtoul(std::string(header + 124, 12).c_str(), nullptr, 8);
    const std::string name(header, strnlen(header, 100));
    std::string content;
    char block[512];
    for (unsigned long done = 0; done < size; done += sizeof block) {
      if (std::fread(block, 1, sizeof block, file) != sizeof block) return false;
      if (size < (1U << 20U)) content.append(block, std::min<size_t>(sizeof block, size - done));
    }
    each(name, content);
  }
  return any;
}

}  // namespace

std::optional<std::vector<std::string>> references_in_archive(const std::string& path) {
  FILE* file = path.empty() ? stdin : std::fopen(path.c_str(), "rb");
  if (file == nullptr) return std::nullopt;
  std::vector<std::string> names;
  const bool good = walk(file, [&](const std::string& name, const std::string& content) {
    const auto json = parse_json(content);
    if (!json) return;
    if (name == "manifest.json" && json->IsArray()) {
      for (const auto& image : json->GetArray()) {
        for (auto& tag : get_strings(image, "RepoTags")) names.push_back(std::move(tag));
      }
    } else if (name == "index.json" && json->IsObject() && json->HasMember("manifests") &&
               names.empty()) {
      for (const auto& manifest : (*json)["manifests"].GetArray()) {
        if (!manifest.HasMember("annotations")) continue;
        const auto& notes = manifest["annotations"];
        std::string tag = get_string(notes, "io.containerd.image.name");
        if (tag.empty()) tag = get_string(notes, "org.opencontainers.image.ref.name");
        if (!tag.empty()) names.push_back(std::move(tag));
      }
    }
  });
  if (file != stdin) std::fclose(file);
  if (!good || names.empty()) return std::nullopt;
  return names;
}

}  // namespace standin
