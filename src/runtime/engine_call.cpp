#include "runtime/engine_call.hpp"

#include <algorithm>
#include <utility>

namespace ndc::runtime {
namespace {

// What is followed by a verb.
constexpr std::string_view kNouns[] = {"builder",  "container", "image", "network",
                                       "registry", "system",    "volume"};

std::string_view outcome(const Expected<CommandResult>& result) {
  if (!result) return "no_answer";
  return result->status == ExitStatus{Exited{0}} ? "ok" : "failed";
}

}  // namespace

std::string call_name(const std::vector<std::string>& argv) {
  const auto begin = argv.begin() + (argv.empty() ? 0 : 1);
  const auto word = std::find_if(begin, argv.end(),
                                 [](const std::string& text) { return !text.starts_with('-'); });
  // "container --version" has no subcommand.
  if (word == argv.end()) return begin == argv.end() ? "" : "version";
  const bool noun = std::find(std::begin(kNouns), std::end(kNouns), *word) != std::end(kNouns);
  const auto verb = word + 1;
  if (!noun || verb == argv.end() || verb->starts_with('-')) return *word;
  return *word + " " + *verb;
}

std::function<void(Expected<CommandResult>)> timed(
    const std::vector<std::string>& argv, const CallSink& sink,
    std::function<void(Expected<CommandResult>)> done) {
  if (!sink) return done;
  return [name = call_name(argv), sink, begun = std::chrono::steady_clock::now(),
          done = std::move(done)](Expected<CommandResult> result) {
    sink({name, outcome(result), std::chrono::steady_clock::now() - begun});
    done(std::move(result));
  };
}

}  // namespace ndc::runtime
