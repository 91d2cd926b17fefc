#include "standin/grammar_table.hpp"

#include <array>

namespace standin {
namespace {

constexpr auto k0_12 = Version::v0_12_3;
constexpr auto k1_0 = Version::v1_0_0;
constexpr auto k1_2 = Version::v1_2_2;

// `create` is `run` without the last row.
constexpr std::array kRun = {
    Option{"-e --env", Type::text, true},
    Option{"--env-file", Type::text, true},
    Option{"--gid", Type::uint32},
    Option{"-i --interactive", Type::flag},
    Option{"-t --tty", Type::flag},
    Option{"-u --user"},
    Option{"--uid", Type::uint32},
    Option{"-w --workdir --cwd"},
    Option{"--ulimit", Type::text, true},
    Option{"-c --cpus", Type::int64},
    Option{"-m --memory"},
    Option{"-a --arch"},
    Option{"--cidfile"},
    Option{"-d --detach", Type::flag},
    Option{"--dns", Type::text, true},
    Option{"--dns-domain"},
    Option{"--dns-option", Type::text, true},
    Option{"--dns-search", Type::text, true},
    Option{"--entrypoint"},
    Option{"--init", Type::flag},
    Option{"--init-image"},
    Option{"-k --kernel"},
    Option{"-l --label", Type::text, true},
    Option{"--mount", Type::text, true},
    Option{"--name"},
    Option{"--network", Type::text, true},
    Option{"--no-dns", Type::flag},
    Option{"--os"},
    Option{"-p --publish", Type::text, true},
    Option{"--platform"},
    Option{"--publish-socket", Type::text, true},
    Option{"--read-only", Type::flag},
    Option{"--rm --remove", Type::flag},
    Option{"--rosetta", Type::flag},
    Option{"--runtime"},
    Option{"--ssh", Type::flag},
    Option{"--tmpfs", Type::text, true},
    Option{"--virtualization", Type::flag},
    Option{"-v --volume", Type::text, true},
    Option{"--scheme"},
    Option{"--max-concurrent-downloads", Type::int64},
    Option{"--cap-add", Type::text, true, k0_12},
    Option{"--cap-drop", Type::text, true, k0_12},
    Option{"--shm-size", Type::text, false, k1_0},
    Option{"--kernel-arg", Type::text, true, k1_2},
    Option{"--masked-path", Type::text, true, k1_2},
    Option{"--read-only-path", Type::text, true, k1_2},
    Option{"--progress", Type::progress},
};
constexpr std::span<const Option> kCreate = std::span(kRun).first(kRun.size() - 1);

constexpr std::array kStart = {Option{"-a --attach", Type::flag},
                               Option{"-i --interactive", Type::flag}};
constexpr std::array kStop = {Option{"-a --all", Type::flag}, Option{"-s --signal"},
                              Option{"-t --time", Type::int32}};
constexpr std::array kKill = {Option{"-a --all", Type::flag}, Option{"-s --signal"}};
constexpr std::array kDelete = {Option{"-a --all", Type::flag}, Option{"-f --force", Type::flag}};
constexpr std::array kList = {Option{"-a --all", Type::flag}, Option{"--format", Type::format},
                              Option{"-q --quiet", Type::flag}};
constexpr std::array kExec = {
    Option{"-e --env", Type::text, true}, Option{"--env-file", Type::text, true},
    Option{"--gid", Type::uint32},        Option{"-i --interactive", Type::flag},
    Option{"-t --tty", Type::flag},       Option{"-u --user"},
    Option{"--uid", Type::uint32},        Option{"-w --workdir --cwd"},
    Option{"--ulimit", Type::text, true}, Option{"-d --detach", Type::flag},
};
constexpr std::array kLogs = {Option{"--boot", Type::flag}, Option{"-f --follow", Type::flag},
                              Option{"-n", Type::int64}};
constexpr std::array kStats = {Option{"--format", Type::format}, Option{"--no-stream", Type::flag}};
constexpr std::array kExport = {Option{"-o --output"}};
constexpr std::array kImagePull = {
    Option{"--scheme"},  Option{"--progress", Type::progress},
    Option{"-a --arch"}, Option{"--max-concurrent-downloads", Type::int64},
    Option{"--os"},      Option{"--platform"},
};
constexpr std::array kImageList = {Option{"--format", Type::format},
                                   Option{"-q --quiet", Type::flag},
                                   Option{"-v --verbose", Type::flag}};
constexpr std::array kImageLoad = {Option{"-i --input"}, Option{"-f --force", Type::flag}};
constexpr std::array kAll = {Option{"-a --all", Type::flag}};
constexpr std::array kLogin = {Option{"--scheme"}, Option{"--password-stdin", Type::flag},
                               Option{"-u --username"}};
constexpr std::array kQuietList = {Option{"--format", Type::format},
                                   Option{"-q --quiet", Type::flag}};
constexpr std::array kNetworkCreate = {
    Option{"--label", Type::text, true},
    Option{"--internal", Type::flag},
    Option{"--subnet", Type::cidr4},
    Option{"--subnet-v6", Type::cidr6},
    Option{"--plugin"},
    Option{"--plugin-variant", Type::text, false, kOldest, k0_12},
    Option{"--option", Type::text, true, k1_0},
};
constexpr std::array kVolumeCreate = {Option{"--label", Type::text, true},
                                      Option{"--opt", Type::text, true}, Option{"-s"}};
constexpr std::array kSystemStatus = {Option{"-p --prefix"}, Option{"--format", Type::format}};
constexpr std::array kFormat = {Option{"--format", Type::format}};
constexpr std::array kPrefix = {Option{"-p --prefix"}};
constexpr std::array kSystemStart = {
    Option{"-a --app-root"},
    Option{"--install-root"},
    Option{"--log-root"},
    Option{"--enable-kernel-install", Type::flag, false, kOldest, kNewest, "kernel-install"},
    Option{"--disable-kernel-install", Type::flag, false, kOldest, kNewest, "kernel-install"},
    Option{"--timeout", Type::seconds},
};

const std::array kCommands = {
    Command{"run", "", "<image> [<arguments> ...]", true, kRun},
    Command{"create", "", "<image> [<arguments> ...]", true, kCreate},
    Command{"start", "", "<container-id>", false, kStart},
    Command{"stop", "", "[<container-ids> ...]", false, kStop},
    Command{"kill", "", "[<container-ids> ...]", false, kKill},
    Command{"delete", "rm", "[<container-ids> ...]", false, kDelete},
    Command{"list", "ls", "", false, kList},
    Command{"exec", "", "<container-id> <arguments> ...", true, kExec},
    Command{"logs", "", "<container-id>", false, kLogs},
    Command{"inspect", "", "<container-ids> ...", false},
    Command{"stats", "", "[<containers> ...]", false, kStats},
    Command{"copy", "cp", "<source> <destination>", false, {}, k1_0},
    Command{"prune", "", "", false},
    Command{"export", "", "<id>", false, kExport},
    Command{"image pull", "", "<reference>", false, kImagePull},
    Command{"image list", "ls", "", false, kImageList},
    Command{"image inspect", "", "<images> ...", false},
    Command{"image delete", "rm", "[<images> ...]", false, kDelete},
    Command{"image load", "", "", false, kImageLoad},
    Command{"image tag", "", "<source> <target>", false},
    Command{"image prune", "", "", false, kAll},
    Command{"registry login", "", "<server>", false, kLogin},
    Command{"registry logout", "", "<registry>", false},
    Command{"registry list", "ls", "", false, kQuietList},
    Command{"network create", "", "<name>", false, kNetworkCreate},
    Command{"network delete", "rm", "[<network-names> ...]", false, kAll},
    Command{"network list", "ls", "", false, kQuietList},
    Command{"network inspect", "", "<networks> ...", false},
    Command{"network prune", "", "", false},
    Command{"volume create", "", "<name>", false, kVolumeCreate},
    Command{"volume delete", "rm", "[<names> ...]", false, kAll},
    Command{"volume list", "ls", "", false, kQuietList},
    Command{"volume inspect", "", "<names> ...", false},
    Command{"volume prune", "", "", false},
    Command{"system status", "", "", false, kSystemStatus},
    Command{"system version", "", "", false, kFormat},
    Command{"system start", "", "", false, kSystemStart},
    Command{"system stop", "", "", false, kPrefix},
};

constexpr std::array kGroups = {Group{"image", "i"}, Group{"network", "n"}, Group{"volume", "v"},
                                Group{"registry", "r"}, Group{"system", "s"}};

constexpr std::array<std::string_view, 4> kFormats = {"json", "table", "yaml", "toml"};
constexpr std::array<std::string_view, 2> kOldProgress = {"none", "ansi"};
constexpr std::array<std::string_view, 5> kNewProgress = {"auto", "none", "ansi", "plain", "color"};

}  // namespace

std::span<const Command> commands() { return kCommands; }
std::span<const Group> groups() { return kGroups; }

std::span<const std::string_view> enumeration(Type type, Version version) {
  if (type == Type::format) {
    const size_t known = version == kOldest ? 2U : is_old(version) ? 3U : 4U;
    return std::span(kFormats).first(known);
  }
  if (type == Type::progress) {
    if (version == kOldest) return kOldProgress;
    return kNewProgress;
  }
  return {};
}

}  // namespace standin
