#include "runtime/apple_login_mark.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include <spdlog/spdlog.h>

#include "runtime/own_file.hpp"
#include "runtime/state_directory.hpp"
#include "runtime/text_fields.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {
namespace {

using std::chrono::milliseconds;

constexpr const char* kPrefix = "login-";
constexpr std::size_t kMaxSize = 64u << 10;  // names of a host and a user

UniqueFd open_mark(const std::string& path) {
  return UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
}

std::optional<LoginMark> read_mark(const std::string& path) {
  const UniqueFd file = open_mark(path);
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0 || !is_own_file(info)) return std::nullopt;
  std::string text(kMaxSize, '\0');
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  if (size <= 0) return std::nullopt;
  return parse_login_mark({text.data(), static_cast<std::size_t>(size)});
}

}  // namespace

std::string login_mark_text(const LoginMark& mark) {
  const auto until = std::chrono::ceil<milliseconds>(mark.until.time_since_epoch());
  return "login 2\n" + std::to_string(until.count()) + " " + std::to_string(mark.user.size()) +
         "\n" + mark.host + "\n" + mark.user;
}

std::optional<LoginMark> parse_login_mark(std::string_view text) {
  std::int64_t until = 0;
  std::size_t size = 0;
  std::string_view host;
  const bool first = take(text, "login 1\n");
  if (!first && !take(text, "login 2\n")) return std::nullopt;
  const bool timed = first ? take_number(text, until, '\n')
                           : take_number(text, until, ' ') && take_number(text, size, '\n');
  if (!timed || until > kLatestMs || !take_until(text, host, '\n')) return std::nullopt;
  if (host.empty() || text.empty() || (!first && text.size() != size)) return std::nullopt;
  return LoginMark{std::string{host}, std::string{text}, WallTime{milliseconds{until}}};
}

std::string LoginMarks::path_of(const std::string& host) const {
  std::string name = kPrefix + host;
  std::replace(name.begin(), name.end(), '/', '_');
  return directory_ + "/" + name;
}

Expected<void> LoginMarks::write(const LoginMark& mark) const {
  if (auto made = make_private_directory(directory_); !made) return made;
  return replace_file(path_of(mark.host), login_mark_text(mark));
}

bool LoginMarks::exists(const std::string& host) const {
  return ::access(path_of(host).c_str(), F_OK) == 0;
}

std::optional<LoginMark> LoginMarks::read(const std::string& host) const {
  auto mark = read_mark(path_of(host));
  return mark && mark->host == host ? mark : std::nullopt;
}

bool LoginMarks::readable(const std::string& host) const {
  if (open_mark(path_of(host))) return true;
  return errno != EMFILE && errno != ENFILE && errno != ENOMEM;
}

void LoginMarks::remove(const std::string& host) const { ::unlink(path_of(host).c_str()); }

std::vector<std::string> LoginMarks::hosts() const {
  std::vector<std::string> out;
  std::error_code failed;
  std::filesystem::directory_iterator entry{directory_, failed};
  for (; !failed && entry != std::filesystem::directory_iterator{}; entry.increment(failed)) {
    const std::string path = entry->path();
    if (!entry->path().filename().string().starts_with(kPrefix)) continue;
    const auto mark = read_mark(path);
    if (mark && path_of(mark->host) == path) {
      out.push_back(mark->host);
    } else if (readable(entry->path().filename().string().substr(std::strlen(kPrefix)))) {
      spdlog::warn(
          "{}: no mark of a login that can be made out: if the driver logged in there and was "
          "killed, that login stays (container registry logout)",
          path);
      std::error_code unknown;
      if (!std::filesystem::is_directory(entry->symlink_status(unknown))) ::unlink(path.c_str());
    }
  }
  return out;
}

}  // namespace ndc::runtime
