// Asks the engine again and again about containers of which nothing else tells: those that are
// about to start, and those whose monitor was killed. One `list` at a time for all of them, none
// while there are none. Loop thread only.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "runtime/apple_cli.hpp"

namespace ndc::runtime {

class ApplePoller : public std::enable_shared_from_this<ApplePoller> {
 public:
  // The pause between two questions grows from `first` to `longest`, and begins anew with each
  // container that is added.
  ApplePoller(std::shared_ptr<AppleCli> cli, std::chrono::milliseconds first,
              std::chrono::milliseconds longest)
      : cli_{std::move(cli)}, first_{first}, longest_{longest}, pause_{first} {}

  // What the engine says: nullopt for a container that it does not know, or the error of a failed
  // question. True: ask again.
  using Answer = std::function<bool(const Expected<std::optional<AppleContainer>>&)>;
  void add(const std::string& id, Answer answer);
  void remove(const std::string& id);

 private:
  void ask_later();
  void ask();
  void answered(const Expected<AppleCli::Containers>& all);

  std::shared_ptr<AppleCli> cli_;
  std::chrono::milliseconds first_;
  std::chrono::milliseconds longest_;
  std::chrono::milliseconds pause_;
  std::map<std::string, Answer> answers_;
  bool asking_ = false;
  std::shared_ptr<EventLoop::Timer> timer_;
};

}  // namespace ndc::runtime
