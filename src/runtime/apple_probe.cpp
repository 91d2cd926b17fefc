#include "runtime/apple_probe.hpp"

#include <array>
#include <utility>

#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#include "model/capabilities.hpp"
#include "runtime/apple_health.hpp"
#include "runtime/apple_json.hpp"
#include "runtime/apple_version.hpp"

namespace ndc::runtime {
namespace {

Fingerprint bad(Health health, std::string description) {
  Fingerprint out;
  out.health = health;
  out.description = std::move(description);
  return out;
}

// Keeps itself until it has answered. A node in order costs one process, `system version`: it names
// the service's version only if that answered a ping, which is all that `system status` tells of
// it.
class Probe : public std::enable_shared_from_this<Probe> {
 public:
  Probe(std::shared_ptr<AppleCli> cli, const PluginConfig& config,
        const std::optional<VersionNumber>& macos, std::function<void(Fingerprint)> done)
      : cli_{std::move(cli)},
        volumes_{config.volumes.enabled},
        macos_{macos},
        done_{std::move(done)} {}

  void begin() {
    cli_->forget_other_version();  // it may have been updated
    cli_->version([self = shared_from_this()](const Expected<VersionNumber>& version) {
      self->has_version(version);
    });
  }

 private:
  void has_version(const Expected<VersionNumber>& version) {
    if (!version) {
      const Error& error = version.error();
      if (error.code == ErrorCode::kRuntimeUnavailable) {
        const auto program = cli_->program();
        if (!program) {
          return done_(bad(Health::kUndetected, std::string{"Apple's container was not found: "} +
                                                    kInstallApple + ", or set container_path"));
        }
      }
      // Where the CLI is not made for the system, that is what is to be told.
      if (macos_ && macos_fault(*macos_)) return done_(judged({}));
      return done_(bad(Health::kUnhealthy, error.message() + "; check: container --version"));
    }
    version_ = *version;
    // First what no start of the service cures.
    if (Fingerprint so_far = judged({}); so_far.health != Health::kHealthy) {
      return done_(std::move(so_far));
    }
    cli_->run(cli_->command(AppleCall::system_version()), AppleCli::Kind::kPing,
              [self = shared_from_this()](const Expected<CommandResult>& result) {
                self->has_versions(result);
              });
  }

  void has_versions(const Expected<CommandResult>& result) {
    if (!result) return silent(result.error());
    std::optional<VersionNumber> daemon;
    if (result->status == ExitStatus{Exited{0}}) {
      if (const auto versions = parse_apple_versions(result->out)) {
        // The program may be a script that leads to another one by now.
        version_ = parse_version(versions->cli).value_or(version_);
        cli_->learn_version(version_);
        daemon = parse_version(versions->daemon);
      }
    }
    if (daemon) return runs(daemon);
    // It waits longer for the service, and has the word for what is the matter with it.
    cli_->run(cli_->command(AppleCall::system_status()), AppleCli::Kind::kPing,
              [self = shared_from_this()](const Expected<CommandResult>& answer) {
                self->has_status(answer);
              });
  }

  void has_status(const Expected<CommandResult>& result) {
    if (!result) return silent(result.error());
    if (const auto fault = service_fault(*result)) {
      cli_->service_stopped();
      return done_(bad(Health::kUnhealthy, fault->text()));
    }
    runs({});
  }

  void silent(const Error& error) {
    done_(bad(Health::kUnhealthy, "the service of Apple's container does not answer (" +
                                      error.message() + "); " + kRestartApple));
  }

  // `daemon`: empty where the service answered, but told no version.
  void runs(const std::optional<VersionNumber>& daemon) {
    Fingerprint out = judged(daemon);
    if (out.health != Health::kHealthy) return done_(std::move(out));
    if (const auto hung = cli_->hung_starts()) {
      return done_(bad(Health::kUnhealthy, "Apple's container answers, but starts no containers (" +
                                               *hung + "); " + kRestartApple));
    }
    const auto reason = cli_->failing();
    if (!reason) return done_(std::move(out));
    // The service answers pings, but other calls failed: is that over?
    cli_->run(cli_->command(AppleCall::list_running()), AppleCli::Kind::kVital,
              [self = shared_from_this(), out = std::move(out),
               reason = *reason](const Expected<CommandResult>& answer) {
                const bool listed = answer && answer->status == ExitStatus{Exited{0}};
                // Calls of another kind that fail do so still, and starts are not tried.
                const auto pause = self->cli_->refusing();
                if (listed && !pause) return self->done_(out);
                self->done_(bad(Health::kUnhealthy,
                                "calls of Apple's container fail again and again (" +
                                    (listed ? *pause : reason) + "); " + kRestartApple));
              });
  }

  Fingerprint judged(const std::optional<VersionNumber>& daemon) {
    return apple_fingerprint(version_, daemon, macos_, volumes_);
  }

  std::shared_ptr<AppleCli> cli_;
  bool volumes_;
  std::optional<VersionNumber> macos_;
  std::function<void(Fingerprint)> done_;
  VersionNumber version_;
};

}  // namespace

std::optional<VersionNumber> macos_version() {
#ifdef __APPLE__
  std::array<char, 64> text{};
  std::size_t size = text.size() - 1;
  if (::sysctlbyname("kern.osproductversion", text.data(), &size, nullptr, 0) == 0) {
    return parse_version(text.data());
  }
#endif
  return std::nullopt;
}

Fingerprint apple_fingerprint(const VersionNumber& cli, const std::optional<VersionNumber>& daemon,
                              const std::optional<VersionNumber>& macos, bool volumes_enabled) {
  auto fault = macos ? macos_fault(*macos) : std::nullopt;
  if (!fault) fault = cli_fault(cli);
  if (!fault) fault = versions_fault(cli, daemon);
  if (fault) return bad(Health::kUnhealthy, fault->text());
  Fingerprint out;
  out.health = Health::kHealthy;
  out.description = "Healthy";
  if (kNewestApple < cli) {
    out.description = "Healthy, but Apple's container " + cli.text() +
                      " is newer than this driver knows: it is used like " + kNewestApple.text();
  }
  if (gives_all_capabilities(cli)) {
    out.description = "Healthy, but Apple's container " + cli.text() +
                      " gives every container all capabilities: allow_caps has no effect";
  }
  out.attributes = {{"driver.container", true},
                    {"driver.container.runtime", std::string{"apple"}},
                    {"driver.container.runtime_version", cli.text()},
                    {"driver.container.volumes.enabled", volumes_enabled}};
  out.attributes.merge(feature_attributes({Engine::Kind::kApple, cli}));
  return out;
}

void apple_probe(const std::shared_ptr<AppleCli>& cli, const PluginConfig& config,
                 const std::optional<VersionNumber>& macos, std::function<void(Fingerprint)> done) {
  std::make_shared<Probe>(cli, config, macos, std::move(done))->begin();
}

}  // namespace ndc::runtime
