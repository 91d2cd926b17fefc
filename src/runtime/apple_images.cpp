#include "runtime/apple_images.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <spdlog/spdlog.h>

#include "model/duration.hpp"
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
constexpr const char* kLogOut = "log out of registry";

bool ok(const CommandResult& result) { return result.status == ExitStatus{Exited{0}}; }

std::string platform_of(const ImageQuery& image) {
  return image.platform.value_or(apple_host_platform());
}

// docker.io's credentials are stored under the name of its API.
bool same_host(const std::string& listed, const std::string& host) {
  return listed == host ||
         (host == "docker.io" && (listed == "registry-1.docker.io" || listed == "index.docker.io"));
}

// What the CLI says by itself and nobody else has a name for is about the credentials.
Error login_error(const std::string& host, const CommandResult& result) {
  Error error = apple_error(kLogIn, host, result.status, result.err);
  const bool engine = says_daemon_is_down(result.err) || says_daemon_timed_out(result.err) ||
                      !std::holds_alternative<Exited>(result.status);
  if (error.code == ErrorCode::kRuntimeUnavailable && !engine) error.code = ErrorCode::kAuthFailed;
  return error;
}

// Made by the driver, as far as anybody can tell: an operator may have logged in since.
bool is_ours(const AppleLogin& login, const LoginMark& mark) {
  return login.user == mark.user && (!login.modified || *login.modified <= mark.until);
}

}  // namespace

AppleImages::AppleImages(std::shared_ptr<AppleCli> cli, const std::string& state_dir,
                         const std::string& login_dir)
    : cli_{std::move(cli)},
      marks_{login_dir.empty() ? LoginLocks::directory_of_user() : login_dir,
             state_dir.empty() ? AppleFiles::default_state_dir() : state_dir},
      turns_{std::make_shared<LoginTurns>(cli_->loop(), marks_.directory())} {}

void AppleImages::find(const ImageQuery& image, Done<std::optional<Image>> done) {
  settle_all();
  cli_->run(AppleCall::image_inspect(image.reference),
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

// --- pull
// -----------------------------------------------------------------------------------------

// A call that begins too late is killed at once.
std::chrono::nanoseconds AppleImages::Pull::left() const {
  return std::max<std::chrono::nanoseconds>(until - std::chrono::steady_clock::now(),
                                            std::chrono::milliseconds{1});
}

Error AppleImages::Pull::explained(Error error) const {
  if (error.code != ErrorCode::kTimeout) return error;
  error.cause = "it was not done within " + format_duration(request.timeout);
  const auto whole = std::chrono::floor<std::chrono::seconds>(waited);
  if (whole.count() > 0) {
    error.cause +=
        ", of which it waited " + format_duration(whole) + " for other pulls from " + host;
  }
  error.hint = "check the registry and the network, or raise image_pull_timeout";
  return error;
}

void AppleImages::pull(PullRequest request, Done<Image> done) {
  const auto reference = parse_image_reference(request.image.reference);
  const std::string host = request.auth && !request.auth->server_address.empty()
                               ? request.auth->server_address
                           : reference ? reference->registry
                                       : "";
  settle_all();
  const auto use = request.auth || marks_.exists(host) ? LoginUse::kAlone : LoginUse::kTogether;
  const auto until = std::chrono::steady_clock::now() + request.timeout;
  take_turn(Pull{std::move(request), host, until, {}, std::move(done)}, use);
}

void AppleImages::take_turn(Pull pull, LoginUse use) {
  const std::string host = pull.host;
  const auto until = pull.until;
  turns_->take(
      host, use, until,
      [self = shared_from_this(), use,
       pull = std::move(pull)](const Expected<LoginTurns::Held>& turn) mutable {
        if (!turn) {
          Error error = turn.error();
          return pull.done(fail(std::move(error).wrap(kPull, pull.request.image.reference)));
        }
        // Who was logged in while this pull waited has died.
        if (use == LoginUse::kTogether && self->marks_.exists(pull.host)) {
          (*turn)->end();
          return self->take_turn(std::move(pull), LoginUse::kAlone);
        }
        pull.waited = pull.request.timeout - (pull.until - std::chrono::steady_clock::now());
        pull.done = [turn = *turn, done = std::move(pull.done)](Expected<Image> result) {
          done(std::move(result));
          turn->end();
        };
        self->begin(std::move(pull));
      });
}

void AppleImages::begin(Pull pull) {
  const std::string host = pull.host;
  settle(host, [self = shared_from_this(),
                pull = std::move(pull)](const Expected<void>& settled) mutable {
    if (!settled) return pull.done(fail(settled.error()));
    if (!pull.request.auth) return self->fetch(std::move(pull));
    self->look_for_login(std::move(pull));
  });
}

// --- logins
// ---------------------------------------------------------------------------------------

void AppleImages::list_logins(AppleCli::Kind kind, Done<Logins> done) {
  cli_->run_ok(cli_->command(AppleCall::registry_list()), kind, "list logins of",
               "Apple's container", [done = std::move(done)](const Expected<std::string>& out) {
                 if (!out) return done(fail(out.error()));
                 done(parse_apple_logins(*out));
               });
}

void AppleImages::settle_all() {
  if (std::exchange(settled_all_, true)) return;
  for (const std::string& host : marks_.hosts()) {
    // That of a plugin which lives is its own to end: the next pull from there waits for that.
    const auto at_once = std::chrono::steady_clock::now();
    turns_->take(host, LoginUse::kAlone, at_once,
                 [self = shared_from_this(), host](const Expected<LoginTurns::Held>& turn) {
                   if (!turn && turn.error().code == ErrorCode::kTimeout) return;
                   if (!turn) return spdlog::warn("{}", turn.error().message());
                   self->settle(host, [turn = *turn](const Expected<void>& settled) {
                     // The next pull tries again.
                     if (!settled) spdlog::warn("{}", settled.error().message());
                     turn->end();
                   });
                 });
  }
}

void AppleImages::settle(const std::string& host, Done<void> done) {
  if (!marks_.exists(host)) return done({});
  const auto mark = marks_.read(host);
  if (!mark) {
    if (!marks_.readable(host)) {
      return done(
          fail({ErrorCode::kRuntimeUnavailable, "look at the mark of a login at", host,
                "no file can be opened at the moment", "raise the agent's limit of open files"}));
    }
    marks_.give_up(host);
    return done({});
  }
  list_logins(AppleCli::Kind::kVital, [self = shared_from_this(), mark = *mark,
                                       done = std::move(done)](const Expected<Logins>& logins) {
    if (!logins) return done(fail(logins.error()));
    bool listed = false;
    for (const auto& [stored, login] : *logins) {
      if (!same_host(stored, mark.host)) continue;
      if (is_ours(login, mark)) return self->log_out(mark, stored, done);
      listed = true;
    }
    // A login that a killed plugin began may still be made.
    const bool awaited = !listed && std::chrono::system_clock::now() < mark.until;
    if (!awaited) self->marks_.remove(mark.host);
    done({});
  });
}

void AppleImages::log_out(const LoginMark& mark, const std::string& stored, Done<void> done) {
  cli_->run_ok(
      cli_->command(AppleCall::registry_logout(stored)), AppleCli::Kind::kVital, kLogOut, stored,
      [self = shared_from_this(), mark, done = std::move(done)](const Expected<std::string>& out) {
        crash_point("apple.pull.logged_out");
        if (!out) return done(fail(out.error()));
        self->end_mark(mark, done);
      });
}

// Contract 8.5: a logout succeeds as well where it has found nothing to end.
void AppleImages::end_mark(const LoginMark& mark, Done<void> done) {
  list_logins(AppleCli::Kind::kVital, [self = shared_from_this(), mark,
                                       done = std::move(done)](const Expected<Logins>& logins) {
    if (!logins) return done(fail(logins.error()));
    for (const auto& [stored, login] : *logins) {
      if (!same_host(stored, mark.host) || !is_ours(login, mark)) continue;
      return done(fail({ErrorCode::kRuntimeUnavailable, kLogOut, stored,
                        "Apple's container says that it is done, but still lists the login",
                        "end it on the node: container registry logout " + stored}));
    }
    self->marks_.remove(mark.host);
    done({});
  });
}

void AppleImages::look_for_login(Pull pull) {
  list_logins(AppleCli::Kind::kNormal, [self = shared_from_this(), pull = std::move(pull)](
                                           const Expected<Logins>& logins) mutable {
    if (!logins) return pull.done(fail(logins.error()));
    for (const auto& [listed, login] : *logins) {
      if (!same_host(listed, pull.host)) continue;
      return pull.done(
          fail({ErrorCode::kAuthFailed, kLogIn, pull.host,
                "the operator is logged in there as " + quoted(login.user) +
                    ", and Apple's container keeps one login for each registry: the credentials of "
                    "the auth block would replace it for good",
                "to use the operator's login remove the auth block, of the task or of the plugin's "
                "configuration, or set auth_soft_fail; or log out on the node: container registry "
                "logout " +
                    listed}));
    }
    self->log_in(std::move(pull));
  });
}

void AppleImages::log_in(Pull pull) {
  const RegistryAuth& auth = *pull.request.auth;
  const std::string host = pull.host;
  if (auth.username.empty()) {
    return pull.done(fail({ErrorCode::kInvalidConfig, kLogIn, host, "the credentials name no user",
                           "set auth.username"}));
  }
  auto password = input_pipe(auth.password);
  if (!password) return pull.done(fail(std::move(password.error()).wrap(kLogIn, host)));
  LoginMark mark{host, auth.username,
                 std::chrono::system_clock::now() +
                     std::chrono::duration_cast<WallTime::duration>(pull.left())};
  if (auto marked = marks_.write(mark); !marked) return pull.done(fail(std::move(marked.error())));
  crash_point("apple.pull.marked");
  Command login = cli_->command(AppleCall::registry_login(host, auth.username));
  login.in = std::move(*password);
  login.timeout = pull.left();
  cli_->run(std::move(login), AppleCli::Kind::kLong,
            [self = shared_from_this(), pull = std::move(pull),
             mark = std::move(mark)](Expected<CommandResult> result) mutable {
              // What comes later is not ours. If it cannot be noted, the earlier bound stays.
              mark.until = std::chrono::system_clock::now();
              (void)self->marks_.write(mark);
              // In either case nothing of ours may stay in the keychain.
              pull.done = [self, host = mark.host,
                           done = std::move(pull.done)](Expected<Image> end) {
                self->settle(host, [done, end = std::move(end)](const Expected<void>& settled) {
                  if (!settled) spdlog::warn("{}", settled.error().message());
                  done(end);
                });
              };
              if (!result) {
                return pull.done(fail(pull.explained(result.error()).wrap(kLogIn, mark.host)));
              }
              if (!ok(*result)) return pull.done(fail(login_error(mark.host, *result)));
              crash_point("apple.pull.logged_in");
              self->fetch(std::move(pull));
            });
}

void AppleImages::fetch(Pull pull) {
  const ImageQuery& image = pull.request.image;
  Command fetch = cli_->command(AppleCall::image_pull(image.reference, platform_of(image)));
  fetch.timeout = pull.left();
  cli_->run(std::move(fetch), AppleCli::Kind::kLong,
            [self = shared_from_this(), image, pull](const Expected<CommandResult>& result) {
              const Done<Image>& done = pull.done;
              if (!result) {
                return done(fail(pull.explained(result.error()).wrap(kPull, image.reference)));
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
  Command load = cli_->command(AppleCall::image_load(*path));
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
    self->cli_->run(
        AppleCall::image_delete(reference), [reference, done](Expected<CommandResult> result) {
          if (!result) {
            return done(fail(std::move(result.error()).wrap(kRemove, reference)));
          }
          const bool gone = !says_daemon_is_down(result->err) && says_image_not_found(result->err);
          if (ok(*result) || gone) return done({});
          done(fail(apple_error(kRemove, reference, result->status, result->err)));
        });
  });
}

}  // namespace ndc::runtime
