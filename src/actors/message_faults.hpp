// Faults at the message queue, for tests and embedding programs: messages between actors are lost
// or late, an actor fails at a message or at any moment. Handed to the driver in DriverOptions; a
// driver without it pays one atomic load a message. Timers of an actor are not messages of anybody:
// they are never touched.
//
// All methods may be called from any thread.
#pragma once

#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "model/error.hpp"

namespace ndc::actors {

// Which messages a fault strikes. What is empty matches everything.
struct Messages {
  std::string actor;    // who receives it, of kActorNames (actors/message_names.hpp)
  std::string task;     // the receiver's task id; actors that serve all tasks have none
  std::string message;  // what it is, of kMessageNames: "StopTask", "ContainerExited" …
};

class MessageFaults {
 public:
  static constexpr int kAlways = std::numeric_limits<int>::max();

  // Each strikes the next `times` messages that match; of several faults the oldest strikes. A name
  // that there is not would never strike: kInvalidConfig, with the names that there are. Whether an
  // actor gets such a message at all is not looked at: struck() tells.
  [[nodiscard]] Expected<void> drop(Messages which, int times = 1);
  [[nodiscard]] Expected<void> delay(Messages which, std::chrono::nanoseconds by, int times = 1);
  // The receiver fails at the message, as if its handler had thrown; the message is lost.
  [[nodiscard]] Expected<void> crash_on(Messages which, int times = 1);

  // Lets every living actor of this name (and task, unless empty) fail, after the messages that it
  // has already got. Returns how many there are; kInvalidConfig as above.
  [[nodiscard]] Expected<int> crash(const std::string& actor, const std::string& task = {});

  // How many messages and actors have been struck so far.
  int struck() const;

  // Takes back every fault that has not struck yet.
  void clear();

  // --- for the actor system ----------------------------------------------------------------------

  struct Verdict {
    enum class Action { kDeliver, kDrop, kDelay, kCrash } action = Action::kDeliver;
    std::chrono::nanoseconds delay{};
  };
  Verdict judge(std::string_view actor, std::string_view task, std::string_view message);

  // An actor is alive for as long as it holds the ticket.
  using Ticket = std::shared_ptr<void>;
  Ticket enrol(std::string actor, std::string task, std::function<void()> crash);

 private:
  struct Fault {
    Messages which;
    Verdict verdict;
    int times;
  };
  struct Living {
    std::string actor;
    std::string task;
    std::function<void()> crash;
  };
  Expected<void> add(Messages which, Verdict verdict, int times);

  mutable std::mutex mutex_;
  std::vector<Fault> faults_;
  std::vector<std::weak_ptr<Living>> living_;
  int struck_ = 0;
};

}  // namespace ndc::actors
