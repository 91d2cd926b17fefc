#include "runtime/kept_references.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include <spdlog/spdlog.h>

#include "model/image_reference.hpp"
#include "runtime/own_file.hpp"
#include "runtime/state_directory.hpp"
#include "runtime/text_fields.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {
namespace {

// One reference a line. Hidden: what is not is a task's.
std::string path_in(const std::string& state_dir) { return state_dir + "/.images"; }

constexpr std::size_t kMaxSize = 1u << 20;  // some ten thousand images: more is not ours

}  // namespace

std::string kept_references_text(const std::set<std::string>& references) {
  std::string out;
  for (const std::string& reference : references) out += reference + "\n";
  return out;
}

KeptReferences parse_kept_references(std::string_view text) {
  KeptReferences out;
  std::string_view line;
  while (take_until(text, line, '\n')) {
    if (auto reference = parse_image_reference(line); !reference) {
      out.refused.push_back(std::move(reference.error()));
    } else {
      out.references.emplace(line);
    }
  }
  // What is left of a name may be another image's.
  if (!text.empty()) {
    out.refused.push_back({ErrorCode::kInvalidConfig,
                           "read image reference",
                           std::string{text},
                           "its line was cut off",
                           {}});
  }
  return out;
}

Expected<std::set<std::string>> read_kept_references(const std::string& state_dir) {
  const std::string path = path_in(state_dir);
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  if (!file && errno == ENOENT) return std::set<std::string>{};
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0) return fail(state_error(path, errno));
  if (!S_ISREG(info.st_mode)) return fail(state_error(path, "it is no file"));
  if (!is_own_file(info)) return fail(state_error(path, "it belongs to another user"));
  std::string text(kMaxSize + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(state_error(path, errno));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > kMaxSize) return fail(state_error(path, "it is too large to be the driver's"));
  if (size == 0) return fail(state_error(path, "it is empty"));  // as the driver never leaves it
  text.resize(size);
  KeptReferences kept = parse_kept_references(text);
  for (const Error& error : kept.refused) spdlog::warn("{}: {}", path, error.message());
  return std::move(kept.references);
}

Expected<void> keep_references(const std::string& state_dir,
                               const std::set<std::string>& references) {
  const std::string path = path_in(state_dir);
  if (references.empty()) {
    if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
    return fail(state_error(path, errno));
  }
  if (auto made = make_private_directory(state_dir); !made) return made;
  return replace_file(path, kept_references_text(references));
}

}  // namespace ndc::runtime
