// Images with Apple's CLI. Its credentials live in the user's keychain, one login per host: a
// task's are put there for the time of its pull only, under a lock per host, and never in place of
// a login that the operator made. Loop thread only.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "runtime/apple_cli.hpp"
#include "runtime/container_runtime.hpp"

namespace ndc::runtime {

class AppleImages : public std::enable_shared_from_this<AppleImages> {
 public:
  // `state_dir` holds a mark for every login of ours, so that one which a killed plugin left is
  // recognised.
  AppleImages(std::shared_ptr<AppleCli> cli, std::string state_dir)
      : cli_{std::move(cli)}, state_dir_{std::move(state_dir)} {}

  void find(const ImageQuery& image, Done<std::optional<Image>> done);
  void pull(PullRequest request, Done<Image> done);
  void load(const LoadRequest& request, Done<Image> done);
  void remove(const std::string& reference, Done<void> done);

 private:
  // Pulls of one host: those with credentials one by one, those without together.
  struct Host {
    struct Turn {
      bool alone = false;
      std::function<void()> go;
    };
    std::deque<Turn> waiting;
    int running = 0;
    bool alone = false;
  };
  void take_turn(const std::string& host, bool alone, std::function<void()> go);
  void next_turn(const std::string& host);
  void end_turn(const std::string& host);

  void look_for_login(PullRequest request, std::string host, Done<Image> done);
  void log_in(PullRequest request, const std::string& host, Done<Image> done);
  void log_out(const std::string& host, std::function<void()> done);
  void fetch(const PullRequest& request, Done<Image> done);
  void require(const ImageQuery& image, Error missing, Done<Image> done);
  std::string mark_of(const std::string& host) const;

  std::shared_ptr<AppleCli> cli_;
  std::string state_dir_;
  std::map<std::string, Host> hosts_;
};

}  // namespace ndc::runtime
