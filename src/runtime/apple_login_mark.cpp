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
#include <set>
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
// What replace_file() writes first: another plugin may be about to.
constexpr const char* kBegun = ".new";
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

std::string login_file(const std::string& directory, const char* prefix, const std::string& host) {
  std::string name = prefix + host;
  std::replace(name.begin(), name.end(), '/', '_');
  return directory + "/" + name;
}

LoginMarks::LoginMarks(std::string directory, const std::string& earlier)
    : directories_{std::move(directory)} {
  if (!earlier.empty()) directories_.push_back(earlier);
}

Expected<void> LoginMarks::write(const LoginMark& mark) const {
  const std::string& directory = directories_.front();
  if (auto made = make_private_directory(directory); !made) return made;
  return replace_file(login_file(directory, kPrefix, mark.host), login_mark_text(mark));
}

bool LoginMarks::exists(const std::string& host) const {
  return std::any_of(directories_.begin(), directories_.end(), [&](const std::string& directory) {
    return ::access(login_file(directory, kPrefix, host).c_str(), F_OK) == 0;
  });
}

std::optional<LoginMark> LoginMarks::read(const std::string& host) const {
  for (const std::string& directory : directories_) {
    auto mark = read_mark(login_file(directory, kPrefix, host));
    if (mark && mark->host == host) return mark;
  }
  return std::nullopt;
}

bool LoginMarks::readable(const std::string& host) const {
  return std::all_of(directories_.begin(), directories_.end(), [&](const std::string& directory) {
    if (open_mark(login_file(directory, kPrefix, host))) return true;
    return errno != EMFILE && errno != ENFILE && errno != ENOMEM;
  });
}

void LoginMarks::remove(const std::string& host) const {
  for (const std::string& directory : directories_) {
    const std::string path = login_file(directory, kPrefix, host);
    std::error_code unknown;
    // On some systems root can unlink a directory.
    const auto found = std::filesystem::symlink_status(path, unknown);
    if (!std::filesystem::is_directory(found)) ::unlink(path.c_str());
  }
}

void LoginMarks::give_up(const std::string& host) const {
  spdlog::warn(
      "registry {}: the mark of a login cannot be made out: if the driver logged in there and was "
      "killed, that login stays (container registry logout)",
      host);
  remove(host);
}

std::vector<std::string> LoginMarks::hosts() const {
  std::set<std::string> out;
  for (const std::string& directory : directories_) {
    std::error_code failed;
    std::filesystem::directory_iterator entry{directory, failed};
    for (; !failed && entry != std::filesystem::directory_iterator{}; entry.increment(failed)) {
      const std::string name = entry->path().filename();
      if (!name.starts_with(kPrefix)) continue;
      const auto mark = read_mark(entry->path());
      if (mark && login_file(directory, kPrefix, mark->host) == entry->path()) {
        out.insert(mark->host);
      } else if (!name.ends_with(kBegun)) {
        out.insert(name.substr(std::strlen(kPrefix)));
      }
    }
  }
  return {out.begin(), out.end()};
}

}  // namespace ndc::runtime
