#include "runtime/apple_login_mark.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "runtime/state_directory.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {
namespace {

using std::chrono::milliseconds;

constexpr const char* kPrefix = "login-";

// The user comes last: what it holds cannot be taken for anything else.
std::optional<LoginMark> parse(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  std::string kind;
  long long until = 0;
  LoginMark out;
  if (!std::getline(file, kind) || kind != "login 1" || !(file >> until) || file.get() != '\n' ||
      !std::getline(file, out.host)) {
    return std::nullopt;
  }
  out.user.assign(std::istreambuf_iterator<char>{file}, {});
  if (out.host.empty() || out.user.empty()) return std::nullopt;
  out.until = WallTime{milliseconds{until}};
  return out;
}

}  // namespace

std::string LoginMarks::path_of(const std::string& host) const {
  std::string name = kPrefix + host;
  std::replace(name.begin(), name.end(), '/', '_');
  return directory_ + "/" + name;
}

Expected<void> LoginMarks::write(const LoginMark& mark) const {
  if (auto made = make_private_directory(directory_); !made) return made;
  const auto until = std::chrono::ceil<milliseconds>(mark.until.time_since_epoch());
  const std::string text =
      "login 1\n" + std::to_string(until.count()) + "\n" + mark.host + "\n" + mark.user;
  const std::string path = path_of(mark.host);
  // Renamed, so that a death meanwhile leaves the earlier one.
  const std::string fresh = directory_ + "/.login";
  const UniqueFd file{
      ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!file) return fail(state_error(path, errno));
  const ssize_t written = ::write(file.get(), text.data(), text.size());
  const bool whole = written == static_cast<ssize_t>(text.size());
  if (whole && ::rename(fresh.c_str(), path.c_str()) == 0) return {};
  const int error = written >= 0 && !whole ? ENOSPC : errno;
  ::unlink(fresh.c_str());
  return fail(state_error(path, error));
}

bool LoginMarks::exists(const std::string& host) const {
  return ::access(path_of(host).c_str(), F_OK) == 0;
}

std::optional<LoginMark> LoginMarks::read(const std::string& host) const {
  auto mark = parse(path_of(host));
  return mark && mark->host == host ? mark : std::nullopt;
}

void LoginMarks::remove(const std::string& host) const { ::unlink(path_of(host).c_str()); }

std::vector<std::string> LoginMarks::hosts() const {
  std::vector<std::string> out;
  std::error_code failed;
  std::filesystem::directory_iterator entry{directory_, failed};
  for (; !failed && entry != std::filesystem::directory_iterator{}; entry.increment(failed)) {
    const std::string path = entry->path();
    if (!entry->path().filename().string().starts_with(kPrefix)) continue;
    const auto mark = parse(path);
    if (mark && path_of(mark->host) == path) {
      out.push_back(mark->host);
    } else if (std::error_code ignored; entry->is_regular_file(ignored)) {
      ::unlink(path.c_str());
    }
  }
  return out;
}

}  // namespace ndc::runtime
