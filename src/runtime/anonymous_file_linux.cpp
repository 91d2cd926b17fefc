// Memory only: the contents never reach a disk.
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/anonymous_file.hpp"

namespace ndc::runtime {
namespace {

tl::unexpected<Error> file_error(const char* step) {
  return fail(
      {ErrorCode::kRuntimeUnavailable, "prepare private file", step, std::strerror(errno), {}});
}

}  // namespace

Expected<std::shared_ptr<UniqueFd>> anonymous_file(std::string_view contents) {
  auto file = std::make_shared<UniqueFd>(::memfd_create("nomad-driver-container", MFD_CLOEXEC));
  if (!*file) return file_error("memfd_create");
  while (!contents.empty()) {
    const ssize_t written = ::write(file->get(), contents.data(), contents.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return file_error("write");
    contents.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::lseek(file->get(), 0, SEEK_SET) != 0) return file_error("lseek");
  return file;
}

}  // namespace ndc::runtime
