#include "actors/message_faults.hpp"

#include <algorithm>
#include <utility>

#include "actors/message_names.hpp"

namespace ndc::actors {
namespace {

bool fits(const std::string& wanted, std::string_view is) { return wanted.empty() || wanted == is; }

// `kind`: "actor", "message".
template <class Names>
Expected<void> check_name(const std::string& kind, const std::string& name, const Names& known) {
  if (name.empty() || is_among(known, name)) return {};
  std::string all;
  for (const std::string_view one : known) all.append(all.empty() ? "" : ", ").append(one);
  return fail({.code = ErrorCode::kInvalidConfig,
               .what = "inject a fault at " + kind,
               .on = name,
               .cause = "there is none of this name",
               .hint = "there are " + all});
}

}  // namespace

Expected<void> MessageFaults::add(Messages which, Verdict verdict, int times) {
  if (auto known = check_name("actor", which.actor, kActorNames); !known) return known;
  if (auto known = check_name("message", which.message, kMessageNames); !known) return known;
  const std::lock_guard lock{mutex_};
  if (times > 0) faults_.push_back({std::move(which), verdict, times});
  return {};
}

Expected<void> MessageFaults::drop(Messages which, int times) {
  return add(std::move(which), {Verdict::Action::kDrop, {}}, times);
}

Expected<void> MessageFaults::delay(Messages which, std::chrono::nanoseconds by, int times) {
  return add(std::move(which), {Verdict::Action::kDelay, by}, times);
}

Expected<void> MessageFaults::crash_on(Messages which, int times) {
  return add(std::move(which), {Verdict::Action::kCrash, {}}, times);
}

Expected<int> MessageFaults::crash(const std::string& actor, const std::string& task) {
  if (auto known = check_name("actor", actor, kActorNames); !known) {
    return fail(std::move(known.error()));
  }
  std::vector<std::shared_ptr<Living>> hit;
  {
    const std::lock_guard lock{mutex_};
    for (const auto& weak : living_) {
      auto living = weak.lock();
      if (living && fits(actor, living->actor) && fits(task, living->task)) {
        hit.push_back(std::move(living));
      }
    }
    struck_ += static_cast<int>(hit.size());
  }
  for (const auto& living : hit) living->crash();
  return static_cast<int>(hit.size());
}

int MessageFaults::struck() const {
  const std::lock_guard lock{mutex_};
  return struck_;
}

void MessageFaults::clear() {
  const std::lock_guard lock{mutex_};
  faults_.clear();
}

MessageFaults::Verdict MessageFaults::judge(std::string_view actor, std::string_view task,
                                            std::string_view message) {
  const std::lock_guard lock{mutex_};
  const auto fault = std::find_if(faults_.begin(), faults_.end(), [&](const Fault& f) {
    return fits(f.which.actor, actor) && fits(f.which.task, task) && fits(f.which.message, message);
  });
  if (fault == faults_.end()) return {};
  const Verdict verdict = fault->verdict;
  ++struck_;
  if (fault->times != kAlways && --fault->times == 0) faults_.erase(fault);
  return verdict;
}

MessageFaults::Ticket MessageFaults::enrol(std::string actor, std::string task,
                                           std::function<void()> crash) {
  auto living =
      std::make_shared<Living>(Living{std::move(actor), std::move(task), std::move(crash)});
  const std::lock_guard lock{mutex_};
  std::erase_if(living_, [](const auto& weak) { return weak.expired(); });
  living_.push_back(living);
  return living;
}

}  // namespace ndc::actors
