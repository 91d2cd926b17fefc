#include "runtime/podman_images_linux.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "model/duration.hpp"
#include "model/image_reference.hpp"
#include "runtime/anonymous_file.hpp"
#include "runtime/crash_point.hpp"
#include "runtime/mount_policy.hpp"
#include "runtime/podman_authfile.hpp"
#include "runtime/podman_errors.hpp"
#include "runtime/podman_files.hpp"
#include "runtime/podman_json.hpp"
#include "runtime/proc_linux.hpp"

namespace ndc::runtime {
namespace {

using namespace std::chrono_literals;

constexpr const char* kFind = "look up image";
constexpr const char* kPull = "pull image";
constexpr const char* kLoad = "load image";
constexpr const char* kRemove = "remove image";
constexpr auto kWatchInterval = 1s;

// An image that podman is about to store is in its list some milliseconds before it is whole.
constexpr auto kFirstLook = 50ms;
constexpr auto kLastLook = 4s;  // looks at 0, 0.05, 0.15, 0.35, … 6.35 s

// Podman never is wholly still: its scheduler wakes itself through a pipe, some bytes a second.
// Less than this is no progress.
constexpr std::uint64_t kLeastStep = 1024;
constexpr double kLeastRate = 256;  // bytes per second

bool ok(const CommandResult& result) { return result.status == ExitStatus{Exited{0}}; }

// Podman says nothing while it pulls; the kernel counts the bytes that it moves.
struct PullWatch {
  std::string reference;
  std::chrono::nanoseconds stall_timeout{};
  std::function<void(std::uint64_t)> progress;
  std::uint64_t bytes = 0;
  std::chrono::steady_clock::time_point moved = std::chrono::steady_clock::now();

  std::optional<Error> look(pid_t pid) {
    const auto now = std::chrono::steady_clock::now();
    const auto current = bytes_moved(pid);
    const double seconds = std::chrono::duration<double>(now - moved).count();
    if (current && *current >= bytes + kLeastStep &&
        static_cast<double>(*current - bytes) >= kLeastRate * seconds) {
      bytes = *current;
      moved = now;
      if (progress) progress(bytes);
    }
    if (stall_timeout <= 0ns || now - moved < stall_timeout) return std::nullopt;
    return Error{ErrorCode::kTimeout, kPull, reference,
                 "it made no progress for " + format_duration(stall_timeout) + "; ended",
                 "check the registry and the network, or raise image_pull_stall_timeout"};
  }
};

}  // namespace

std::string PodmanImages::revision() const {
  struct stat info {};
  if (images_file_.empty() || ::stat(images_file_.c_str(), &info) != 0) return {};
  // Podman puts a new file in the old one's place.
  return std::to_string(info.st_ino) + " " + std::to_string(info.st_size) + " " +
         std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec);
}

void PodmanImages::find(ImageQuery query, Done<std::optional<Image>> done) {
  // Before podman looks: what changes meanwhile counts as a change.
  const std::string now = revision();
  if (now.empty() || std::exchange(found_in_, now) != now) found_.clear();
  const std::pair key{query.reference, query.platform.value_or("")};
  if (const auto known = found_.find(key); known != found_.end()) return done(known->second);
  find_as(key.first, std::move(query),
          [self = shared_from_this(), key, now,
           done = std::move(done)](Expected<std::optional<Image>> found) {
            if (found && *found && !now.empty() && self->found_in_ == now) {
              self->found_.insert_or_assign(key, **found);
            }
            done(std::move(found));
          });
}

void PodmanImages::find_as(const std::string& name, ImageQuery query,
                           Done<std::optional<Image>> done) {
  look(name, std::move(query), kFirstLook, std::move(done));
}

void PodmanImages::look(const std::string& name, ImageQuery query, std::chrono::milliseconds pause,
                        Done<std::optional<Image>> done) {
  cli_->run(cli_->command({"image", "inspect", "--format=json", "--", name}),
            [self = shared_from_this(), name, query, pause,
             done = std::move(done)](Expected<CommandResult> result) mutable {
              const std::string& reference = query.reference;
              if (!result) return done(fail(std::move(result.error()).wrap(kFind, reference)));
              if (!ok(*result)) {
                Error error = podman_error(kFind, reference, result->status, result->err);
                return self->look_again(name, std::move(query), pause, std::move(error),
                                        std::move(done));
              }
              auto image = parse_image(result->out);
              if (!image) return done(fail(std::move(image.error()).wrap(kFind, reference)));
              // The one for another platform is as good as none.
              if (query.platform && !is_for_platform(*image, *query.platform)) {
                return done(std::optional<Image>{});
              }
              done(std::optional{Image{reference, image->id, image->stop_signal, image->digest}});
            });
}

// To tell an image's parent, podman reads those that share its layers, too: one that somebody pulls
// or removes right now, or that a killed pull left half, fails the look at all of them, with words
// ("image not known") that may be about another than ours. `image exists` looks at ours alone.
void PodmanImages::look_again(const std::string& name, ImageQuery query,
                              std::chrono::milliseconds pause, Error why,
                              Done<std::optional<Image>> done) {
  exists(name, [self = shared_from_this(), name, query = std::move(query), pause,
                why = std::move(why), done = std::move(done)](std::optional<bool> there) mutable {
    if (there == false) return done(std::optional<Image>{});
    if (there) why.code = ErrorCode::kRuntimeUnavailable;
    if (!there || pause > kLastLook) return done(fail(std::move(why)));
    const auto timer = std::make_shared<std::shared_ptr<EventLoop::Timer>>();
    *timer = self->cli_->loop().after(pause, [self, timer, name, query = std::move(query), pause,
                                              done = std::move(done)]() mutable {
      const auto fired = std::move(*timer);
      self->look(name, std::move(query), pause * 2, std::move(done));
    });
  });
}

void PodmanImages::exists(const std::string& name, std::function<void(std::optional<bool>)> done) {
  cli_->run(cli_->command({"image", "exists", "--", name}),
            [done = std::move(done)](const Expected<CommandResult>& result) {
              if (result && ok(*result)) return done(true);
              if (result && result->status == ExitStatus{Exited{1}}) return done(false);
              done(std::nullopt);
            });
}

void PodmanImages::require(const std::string& name, const ImageQuery& query, Error otherwise,
                           Done<Image> done) {
  find_as(name, query,
          [otherwise = std::move(otherwise),
           done = std::move(done)](Expected<std::optional<Image>> found) {
            if (!found) return done(fail(std::move(found.error())));
            if (!*found) return done(fail(otherwise));
            done(std::move(**found));
          });
}

void PodmanImages::pull(PullRequest request, Done<Image> done) {
  const std::string name = request.image.reference;
  pull_as(name, std::move(request), std::move(done));
}

void PodmanImages::pull_as(const std::string& name, PullRequest request, Done<Image> done) {
  const std::string& reference = request.image.reference;
  std::vector<std::string> arguments{"pull", "--quiet"};
  if (request.image.platform) arguments.push_back("--platform=" + *request.image.platform);
  std::shared_ptr<UniqueFd> credentials;
  if (request.auth) {
    auto file = anonymous_file(podman_authfile(*request.auth));
    if (!file) return done(fail(std::move(file.error()).wrap(kPull, reference)));
    credentials = std::move(*file);
    arguments.emplace_back("--authfile=/dev/fd/3");
  }
  arguments.emplace_back("--");
  arguments.push_back(name);
  Command pull = cli_->command(std::move(arguments));
  pull.timeout = request.timeout;
  pull.extra_fd = std::move(credentials);
  auto watch = std::make_shared<PullWatch>();
  watch->reference = reference;
  watch->stall_timeout = request.stall_timeout;
  watch->progress = request.progress;
  pull.watch = [watch](pid_t pid) { return watch->look(pid); };
  pull.watch_interval = request.stall_timeout > 0ns ? std::min<std::chrono::nanoseconds>(
                                                          kWatchInterval, request.stall_timeout / 4)
                                                    : kWatchInterval;
  cli_->run_aside(std::move(pull), [self = shared_from_this(), name, request,
                                    done = std::move(done)](Expected<CommandResult> result) {
    const ImageQuery& image = request.image;
    if (!result) {
      Error error = std::move(result.error());
      if (error.what == kPull) return done(fail(std::move(error)));  // PullWatch's
      if (error.code == ErrorCode::kTimeout) {
        return done(fail({ErrorCode::kTimeout, kPull, image.reference,
                          "it was not done within " + format_duration(request.timeout) + "; ended",
                          "check the registry and the network, or raise image_pull_timeout"}));
      }
      return done(fail(std::move(error).wrap(kPull, image.reference)));
    }
    if (!ok(*result)) {
      const auto full = parse_image_reference(image.reference);
      if (full && full->text() != name && says_short_name_unknown(result->err)) {
        return self->pull_as(full->text(), request, done);
      }
      return done(fail(podman_error(kPull, image.reference, result->status, result->err)));
    }
    crash_point("podman.pull.pulled");
    // Podman prints the id of what it pulled. The name may mean another image again by now, if
    // somebody else pulled it for another platform meanwhile.
    const std::string id = parse_container_id(result->out);
    self->require(
        id.empty() ? name : id, image,
        {ErrorCode::kRuntimeUnavailable, kPull, image.reference, "it was pulled, but is not there",
         image.platform ? "check that the image exists for " + *image.platform : "try again"},
        done);
  });
  crash_point("podman.pull.spawned");
}

void PodmanImages::load(LoadRequest request, Done<Image> done) {
  auto path = task_file(*request.spec, request.archive);
  if (!path) {
    return done(fail(std::move(path.error()).wrap(kLoad, request.image.reference)));
  }
  Command load = cli_->command({"load", "--quiet", "--input=" + *path});
  load.timeout = request.timeout;
  cli_->run_aside(std::move(load),
                  [self = shared_from_this(), image = request.image, archive = request.archive,
                   done = std::move(done)](Expected<CommandResult> result) {
                    if (!result) {
                      return done(fail(std::move(result.error()).wrap(kLoad, image.reference)));
                    }
                    if (!ok(*result)) {
                      Error error = podman_error(kLoad, archive, result->status, result->err);
                      if (error.code == ErrorCode::kRuntimeUnavailable)
                        error.code = ErrorCode::kInvalidConfig;
                      if (error.hint.empty())
                        error.hint = "check that it is an image archive (podman save)";
                      return done(fail(std::move(error)));
                    }
                    self->require(image.reference, image,
                                  {ErrorCode::kInvalidConfig, kLoad, image.reference,
                                   "the archive " + quoted(archive) + " does not hold this image",
                                   "it holds: " + podman_reason(result->out)},
                                  done);
                  });
}

void PodmanImages::remove(std::string reference, Done<void> done) {
  cli_->run(cli_->command({"image", "rm", "--", reference}),
            [self = shared_from_this(), reference,
             done = std::move(done)](Expected<CommandResult> result) {
              if (!result) return done(fail(std::move(result.error()).wrap(kRemove, reference)));
              if (ok(*result)) return done({});
              Error error = podman_error(kRemove, reference, result->status, result->err);
              // 2: a container uses it, or an image is made of it.
              if (result->status == ExitStatus{Exited{2}}) error.code = ErrorCode::kWrongState;
              self->exists(reference, [error = std::move(error), done](std::optional<bool> there) {
                if (there == false) return done({});
                done(fail(error));
              });
            });
}

}  // namespace ndc::runtime
