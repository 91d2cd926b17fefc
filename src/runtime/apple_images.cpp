#include "runtime/apple_images.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <spdlog/spdlog.h>

#include "model/image_reference.hpp"
#include "runtime/apple_argv.hpp"
#include "runtime/apple_errors.hpp"
#include "runtime/apple_files.hpp"
#include "runtime/crash_point.hpp"
#include "runtime/mount_policy.hpp"

namespace ndc::runtime {
namespace {

constexpr const char* kFind = "find image";
constexpr const char* kPull = "pull image";
constexpr const char* kLoad = "load image";
constexpr const char* kRemove = "remove image";
constexpr const char* kLogIn = "log in to registry";

bool ok(const CommandResult& result) { return result.status == ExitStatus{Exited{0}}; }

// As the CLI writes it: without the "docker://" that other tools know.
std::string plain(const std::string& reference) {
  const std::size_t scheme = reference.find("://");
  return scheme == std::string::npos ? reference : reference.substr(scheme + 3);
}

std::string platform_of(const ImageQuery& image) {
  return image.platform.value_or(apple_host_platform());
}

// From 0.12 on the CLI wants https of "localhost:5000". A registry on this very machine is
// reached without, as with docker.
bool is_loopback(const std::string& host) {
  const std::string name = host.substr(0, host.find(':'));
  return name == "localhost" || name.starts_with("127.");
}

void add_scheme(std::vector<std::string>& arguments, const std::string& host) {
  if (!is_loopback(host)) return;
  arguments.emplace_back("--scheme");
  arguments.emplace_back("http");
}

// docker.io's credentials are stored under the name of its API.
bool same_host(const std::string& listed, const std::string& host) {
  return listed == host ||
         (host == "docker.io" && (listed == "registry-1.docker.io" || listed == "index.docker.io"));
}

// Made by the driver, as far as anybody can tell: an operator may have logged in since.
bool is_ours(const AppleLogin& login, const LoginMark& mark) {
  return login.user == mark.user && (!login.modified || *login.modified <= mark.until);
}

}  // namespace

AppleImages::AppleImages(std::shared_ptr<AppleCli> cli, const std::string& state_dir)
    : cli_{std::move(cli)},
      marks_{state_dir.empty() ? AppleFiles::default_state_dir() : state_dir} {}

void AppleImages::find(const ImageQuery& image, Done<std::optional<Image>> done) {
  settle_all();
  Command inspect = cli_->command({"image", "inspect", plain(image.reference)});
  cli_->run(std::move(inspect), AppleCli::Kind::kNormal,
            [image, done = std::move(done)](Expected<CommandResult> result) {
              if (!result) {
                return done(fail(std::move(result.error()).wrap(kFind, image.reference)));
              }
              if (!ok(*result)) {
                if (!says_daemon_is_down(result->err) && says_image_not_found(result->err)) {
                  return done(std::optional<Image>{});
                }
                return done(fail(apple_error(kFind, image.reference, result->status, result->err)));
              }
              auto images = parse_apple_images(result->out);
              if (!images) {
                return done(fail(std::move(images.error()).wrap(kFind, image.reference)));
              }
              if (images->empty()) return done(std::optional<Image>{});
              const AppleImage& found = images->front();
              const AppleVariant* variant = variant_for(found, platform_of(image));
              // An image whose variants are not told is taken as it is.
              if (variant == nullptr && !found.variants.empty()) {
                return done(std::optional<Image>{});
              }
              Image out{image.reference, found.digest, std::nullopt, found.digest};
              if (variant != nullptr) out.stop_signal = variant->stop_signal;
              done(std::optional{std::move(out)});
            });
}

// --- turns
// ----------------------------------------------------------------------------------------

void AppleImages::take_turn(const std::string& host, bool alone, std::function<void()> go) {
  hosts_[host].waiting.push_back({alone, std::move(go)});
  next_turn(host);
}

void AppleImages::next_turn(const std::string& host) {
  while (true) {
    const auto found = hosts_.find(host);
    if (found == hosts_.end()) return;
    Host& state = found->second;
    if (state.waiting.empty()) {
      if (state.running == 0) hosts_.erase(found);
      return;
    }
    if (state.alone || (state.waiting.front().alone && state.running > 0)) return;
    Host::Turn turn = std::move(state.waiting.front());
    state.waiting.pop_front();
    ++state.running;
    state.alone = turn.alone;
    turn.go();
  }
}

void AppleImages::end_turn(const std::string& host) {
  Host& state = hosts_[host];
  --state.running;
  state.alone = false;
  next_turn(host);
}

// --- pull
// -----------------------------------------------------------------------------------------

void AppleImages::pull(PullRequest request, Done<Image> done) {
  const auto reference = parse_image_reference(request.image.reference);
  const std::string host = request.auth && !request.auth->server_address.empty()
                               ? request.auth->server_address
                           : reference ? reference->registry
                                       : "";
  settle_all();
  const bool alone = request.auth || marks_.exists(host);
  take_turn(host, alone,
            [self = shared_from_this(), request = std::move(request), host,
             done = std::move(done)]() mutable {
              Done<Image> end = [self, host, done = std::move(done)](Expected<Image> result) {
                done(std::move(result));
                self->end_turn(host);
              };
              self->settle(host, [self, request = std::move(request), host,
                                  end = std::move(end)](const Expected<void>& settled) mutable {
                if (!settled) return end(fail(settled.error()));
                if (!request.auth) return self->fetch(request, std::move(end));
                self->look_for_login(std::move(request), host, std::move(end));
              });
            });
}

// --- logins
// ---------------------------------------------------------------------------------------

void AppleImages::list_logins(AppleCli::Kind kind, Done<Logins> done) {
  cli_->run_ok(cli_->command({"registry", "list", "--format", "json"}), kind, "list logins of",
               "Apple's container", [done = std::move(done)](const Expected<std::string>& out) {
                 if (!out) return done(fail(out.error()));
                 done(parse_apple_logins(*out));
               });
}

void AppleImages::settle_all() {
  if (std::exchange(settled_all_, true)) return;
  for (const std::string& host : marks_.hosts()) {
    take_turn(host, true, [self = shared_from_this(), host] {
      self->settle(host, [self, host](const Expected<void>& settled) {
        if (!settled) spdlog::warn("{}", settled.error().message());  // the next pull tries again
        self->end_turn(host);
      });
    });
  }
}

void AppleImages::settle(const std::string& host, Done<void> done) {
  if (!marks_.exists(host)) return done({});
  const auto mark = marks_.read(host);
  if (!mark) {  // it proves nothing
    marks_.remove(host);
    return done({});
  }
  list_logins(AppleCli::Kind::kVital, [self = shared_from_this(), mark = *mark,
                                       done = std::move(done)](const Expected<Logins>& logins) {
    if (!logins) return done(fail(logins.error()));
    bool listed = false;
    for (const auto& [stored, login] : *logins) {
      if (!same_host(stored, mark.host)) continue;
      if (is_ours(login, mark)) return self->log_out(mark, done);
      listed = true;
    }
    // A login that a killed plugin began may still be made.
    const bool awaited = !listed && std::chrono::system_clock::now() < mark.until;
    if (!awaited) self->marks_.remove(mark.host);
    done({});
  });
}

void AppleImages::log_out(const LoginMark& mark, Done<void> done) {
  cli_->run_ok(cli_->command({"registry", "logout", mark.host}), AppleCli::Kind::kVital,
               "log out of registry", mark.host,
               [self = shared_from_this(), host = mark.host,
                done = std::move(done)](const Expected<std::string>& out) {
                 crash_point("apple.pull.logged_out");
                 if (!out) return done(fail(out.error()));
                 self->marks_.remove(host);
                 done({});
               });
}

void AppleImages::look_for_login(PullRequest request, std::string host, Done<Image> done) {
  list_logins(AppleCli::Kind::kNormal, [self = shared_from_this(), request = std::move(request),
                                        host = std::move(host), done = std::move(done)](
                                           const Expected<Logins>& logins) mutable {
    if (!logins) return done(fail(logins.error()));
    for (const auto& [listed, login] : *logins) {
      if (!same_host(listed, host)) continue;
      return done(
          fail({ErrorCode::kInvalidConfig, kLogIn, host,
                "the operator is logged in there as " + quoted(login.user) +
                    ", and Apple's container keeps one login for each registry: the credentials of "
                    "the task would replace it for good",
                "remove the task's auth block to use the operator's login, or log out on the node: "
                "container registry logout " +
                    host}));
    }
    self->log_in(std::move(request), host, std::move(done));
  });
}

void AppleImages::log_in(PullRequest request, const std::string& host, Done<Image> done) {
  if (request.auth->username.empty()) {
    return done(fail({ErrorCode::kInvalidConfig, kLogIn, host, "the credentials name no user",
                      "set auth.username"}));
  }
  auto password = input_pipe(request.auth->password);
  if (!password) return done(fail(std::move(password.error()).wrap(kLogIn, host)));
  LoginMark mark{host, request.auth->username,
                 std::chrono::system_clock::now() +
                     std::chrono::duration_cast<WallTime::duration>(request.timeout)};
  if (auto marked = marks_.write(mark); !marked) return done(fail(std::move(marked.error())));
  crash_point("apple.pull.marked");
  std::vector<std::string> arguments{"registry", "login", "--username=" + request.auth->username,
                                     "--password-stdin"};
  add_scheme(arguments, host);
  arguments.push_back(host);
  Command login = cli_->command(std::move(arguments));
  login.in = std::move(*password);
  login.timeout = request.timeout;
  cli_->run_ok(std::move(login), AppleCli::Kind::kLong, kLogIn, host,
               [self = shared_from_this(), request = std::move(request), mark = std::move(mark),
                done = std::move(done)](const Expected<std::string>& out) mutable {
                 // What comes later is not ours. If it cannot be noted, the earlier bound stays.
                 mark.until = std::chrono::system_clock::now();
                 (void)self->marks_.write(mark);
                 // In either case nothing of ours may stay in the keychain.
                 Done<Image> and_out = [self, host = mark.host,
                                        done = std::move(done)](Expected<Image> result) {
                   self->settle(host,
                                [done, result = std::move(result)](const Expected<void>& settled) {
                                  if (!settled) spdlog::warn("{}", settled.error().message());
                                  done(result);
                                });
                 };
                 if (!out) {
                   Error error = out.error();
                   if (error.code == ErrorCode::kRuntimeUnavailable)
                     error.code = ErrorCode::kAuthFailed;
                   return and_out(fail(std::move(error)));
                 }
                 crash_point("apple.pull.logged_in");
                 self->fetch(request, std::move(and_out));
               });
}

void AppleImages::fetch(const PullRequest& request, Done<Image> done) {
  const std::string reference = plain(request.image.reference);
  std::vector<std::string> arguments{"image", "pull", "--progress", "none",
                                     "--platform=" + platform_of(request.image)};
  if (const auto parsed = parse_image_reference(reference)) {
    add_scheme(arguments, parsed->registry);
  }
  arguments.push_back(reference);
  Command pull = cli_->command(std::move(arguments));
  pull.timeout = request.timeout;
  cli_->run(std::move(pull), AppleCli::Kind::kLong,
            [self = shared_from_this(), image = request.image,
             done = std::move(done)](Expected<CommandResult> result) {
              if (!result) {
                return done(fail(std::move(result.error()).wrap(kPull, image.reference)));
              }
              if (!ok(*result)) {
                return done(fail(apple_error(kPull, image.reference, result->status, result->err)));
              }
              crash_point("apple.pull.pulled");
              self->require(image,
                            {ErrorCode::kImageNotFound, kPull, image.reference,
                             "it was pulled, but does not exist for " + platform_of(image),
                             "check the image's platforms, or set platform"},
                            done);
            });
  crash_point("apple.pull.spawned");
}

void AppleImages::require(const ImageQuery& image, Error missing, Done<Image> done) {
  find(image, [missing = std::move(missing),
               done = std::move(done)](Expected<std::optional<Image>> found) {
    if (!found) return done(fail(std::move(found.error())));
    if (!*found) return done(fail(missing));
    done(std::move(**found));
  });
}

void AppleImages::load(const LoadRequest& request, Done<Image> done) {
  auto path = task_file(*request.spec, request.archive);
  if (!path) {
    return done(fail(std::move(path.error()).wrap(kLoad, request.image.reference)));
  }
  Command load = cli_->command({"image", "load", "--input=" + *path});
  load.timeout = request.timeout;
  cli_->run(std::move(load), AppleCli::Kind::kLong,
            [self = shared_from_this(), image = request.image, archive = request.archive,
             done = std::move(done)](Expected<CommandResult> result) {
              if (!result) {
                return done(fail(std::move(result.error()).wrap(kLoad, image.reference)));
              }
              if (!ok(*result)) {
                Error error = apple_error(kLoad, archive, result->status, result->err);
                if (!says_daemon_is_down(result->err)) error.code = ErrorCode::kInvalidConfig;
                if (error.hint.empty()) error.hint = "check that it is an OCI image archive";
                return done(fail(std::move(error)));
              }
              self->require(image,
                            {ErrorCode::kInvalidConfig,
                             kLoad,
                             image.reference,
                             "the archive " + quoted(archive) + " does not hold this image for " +
                                 platform_of(image),
                             {}},
                            done);
            });
}

// The CLI would remove an image under its containers: who uses it is asked first.
void AppleImages::remove(const std::string& reference, Done<void> done) {
  cli_->list([self = shared_from_this(), reference,
              done = std::move(done)](const Expected<AppleCli::Containers>& all) {
    if (!all) {
      Error error = all.error();
      return done(fail(std::move(error).wrap(kRemove, reference)));
    }
    const auto normal = [](const std::string& text) {
      const auto parsed = parse_image_reference(text);
      return parsed ? parsed->text() : text;
    };
    for (const AppleContainer& container : **all) {
      if (normal(container.image) != normal(reference)) continue;
      return done(fail({ErrorCode::kWrongState,
                        kRemove,
                        reference,
                        "the container " + quoted(container.id) + " uses it",
                        {}}));
    }
    self->cli_->run(self->cli_->command({"image", "delete", plain(reference)}),
                    AppleCli::Kind::kNormal, [reference, done](Expected<CommandResult> result) {
                      if (!result) {
                        return done(fail(std::move(result.error()).wrap(kRemove, reference)));
                      }
                      const bool gone =
                          !says_daemon_is_down(result->err) && says_image_not_found(result->err);
                      if (ok(*result) || gone) return done({});
                      done(fail(apple_error(kRemove, reference, result->status, result->err)));
                    });
  });
}

}  // namespace ndc::runtime
