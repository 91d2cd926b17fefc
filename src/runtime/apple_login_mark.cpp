#include "runtime/apple_login_mark.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "runtime/state_directory.hpp"

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
  return replace_file(path_of(mark.host), text);
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
