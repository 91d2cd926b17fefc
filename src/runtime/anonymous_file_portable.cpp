// A 0600 file in the temporary directory, unlinked before anything is written to it.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "runtime/anonymous_file.hpp"

namespace ndc::runtime {
namespace {

tl::unexpected<Error> file_error(const char* step) {
  return fail(
      {ErrorCode::kRuntimeUnavailable, "prepare private file", step, std::strerror(errno), {}});
}

}  // namespace

Expected<std::shared_ptr<UniqueFd>> anonymous_file(std::string_view contents) {
  const char* directory = ::getenv("TMPDIR");
  std::string path = directory != nullptr && *directory != '\0' ? directory : "/tmp";
  path += "/nomad-driver-container.XXXXXX";
  auto file = std::make_shared<UniqueFd>(::mkstemp(path.data()));
  if (!*file) return file_error("mkstemp");
  if (::unlink(path.c_str()) != 0) return file_error("unlink");
  if (::fcntl(file->get(), F_SETFD, FD_CLOEXEC) != 0) return file_error("fcntl");
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
