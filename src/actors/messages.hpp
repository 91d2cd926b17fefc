// Every message that actors exchange: commands in the imperative, facts in the past tense. Values
// of model and runtime types only; large data behind shared_ptr<const T>.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "actors/compat.hpp"
#include "actors/driver.hpp"
#include "model/error.hpp"
#include "model/plugin_config.hpp"
#include "model/reply.hpp"
#include "model/stream.hpp"
#include "model/task_config.hpp"
#include "model/task_handle.hpp"
#include "runtime/container_runtime.hpp"

namespace ndc::actors {

using RuntimePtr = std::shared_ptr<runtime::ContainerRuntime>;

// --- from outside, to the driver actor; those with a task id are passed on to its task actor -----

struct SetConfig {
  PluginConfig config;
  std::optional<NodeCompute> node;
  Reply<Expected<void>> reply;
};
struct GetCapabilities {
  Reply<DriverCapabilities> reply;
};
struct WatchFingerprint {
  Stream<Fingerprint> stream;
};
struct WatchEvents {
  Stream<TaskEvent> stream;
};
struct StartTask {
  std::shared_ptr<const TaskSpec> spec;
  Reply<Expected<TaskStarted>> reply;
  // Set by the driver itself while it ends an earlier attempt first; null where they could not be
  // opened.
  std::optional<std::shared_ptr<const void>> held_logs = {};
  std::shared_ptr<const void> ticket = {};  // of the driver's gate
};
struct RecoverTask {
  std::string task_id;
  std::string driver_state;
  Reply<Expected<void>> reply;
};
struct WaitTask {
  std::string task_id;
  Reply<Expected<TaskExit>> reply;
};
struct StopTask {
  std::string task_id;
  std::chrono::nanoseconds timeout{};
  std::string signal;
  Reply<Expected<void>> reply;
};
struct DestroyTask {
  std::string task_id;
  bool force = false;
  Reply<Expected<void>> reply;
};
struct InspectTask {
  std::string task_id;
  Reply<Expected<TaskStatus>> reply;
};
struct WatchUsage {
  std::string task_id;
  std::chrono::nanoseconds interval{};
  Stream<ResourceUsage> stream;
};
struct SignalTask {
  std::string task_id;
  std::string signal;
  Reply<Expected<void>> reply;
};
struct ExecTask {
  std::string task_id;
  ExecRequest request;
  Reply<Expected<ExecResult>> reply;
};
struct ExecTaskStreaming {
  std::string task_id;
  ExecRequest request;
  std::shared_ptr<ExecClient> client;
  Reply<Expected<std::shared_ptr<ExecSession>>> reply;
};
struct Shutdown {
  Reply<bool> reply;
};

// --- from a task actor to the driver actor -------------------------------------------------------

struct TaskRunning {
  std::string task_id;
  TaskHandle handle;
  std::shared_ptr<const void> held_logs = {};  // of a start: LogRoute::hold()
};
struct TaskStartFailed {
  std::string task_id;
  Error error;
  std::shared_ptr<const void> held_logs = {};  // LogRoute::held()
};
struct TaskEnded {
  std::string task_id;
  TaskExit exit;
};
// From one that is at its end: LogRoute::held().
struct LogsLeft {
  std::string task_id;
  std::shared_ptr<const void> logs;
};
struct TaskDestroyed {
  std::string task_id;
};

// --- within a task actor: what its runtime calls and timers report -------------------------------

struct Begin {};
struct JobChecked {
  Expected<void> result;
};
struct ImageReady {
  std::optional<Expected<runtime::Image>> result;  // none: the request was lost
};
struct RequestLostImage {};
struct ReopenLogs {};
struct LogsOpened {
  Expected<std::shared_ptr<runtime::LogRoute>> result;
};
struct ContainerStarted {
  Expected<runtime::StartedContainer> result;
};
struct ContainerAttached {
  Expected<runtime::Attached> result;
};
struct ContainerExited {
  TaskExit exit;
};
struct RecoverTimer {};
struct Reattach {};
struct LogsDrained {
  std::uint64_t generation = 0;  // of the FinishLogs that it answers
};
struct StopTimer {
  std::uint64_t generation = 0;
};
struct DrainTimer {};
struct ContainerRemoved {
  Expected<void> result;
};

// --- to a log forwarder actor --------------------------------------------------------------------

struct OpenLogs {};
// Answered with what LogRoute::hold() returns.
struct HoldLogs {
  Reply<std::shared_ptr<const void>> reply;
};
struct FollowLogs {
  ContainerRef container;
};
struct FinishLogs {
  std::uint64_t generation = 0;
};
struct LogsBroken {
  Error error;
};

// --- statistics ----------------------------------------------------------------------------------

struct SampleContainer {  // to a stats actor: this is what there is to measure
  ContainerRef container;
};
struct Subscribe {  // to the sampler
  ContainerRef container;
  std::chrono::nanoseconds interval{};
  caf::actor stats;
};
struct Unsubscribe {
  std::string container_name;
  caf::actor_id subscriber = 0;  // its successor may have subscribed before this arrives
};
struct UsageSampled {
  Expected<UsageSample> sample;
};
struct SamplesTaken {
  std::vector<runtime::UsageReading> readings;
};

// --- images --------------------------------------------------------------------------------------

struct TaskIdentity {
  std::string task_id;
  std::string alloc_id;
  std::string task_name;
};
// What tasks may share one look-up or pull for: the same image with the same credentials, or from
// the same archive.
struct ImageKey {
  std::string reference;
  std::optional<std::string> platform;
  std::optional<RegistryAuth> auth;
  std::optional<std::string> archive = std::nullopt;  // absolute path; the image actor sets it
  auto operator<=>(const ImageKey&) const = default;
};
struct EnsureImage {
  ImageKey image;
  PullPolicy policy = PullPolicy::kMissing;
  std::chrono::nanoseconds timeout{};
  bool auth_soft_fail = false;
  std::optional<std::string> load;       // archive, instead of a registry
  std::shared_ptr<const TaskSpec> spec;  // whose directory holds the archive
  TaskIdentity task;                     // whose events tell of the pull
  Reply<Expected<runtime::Image>> reply;
};
struct ImageFound {
  ImageKey image;  // without credentials
  Expected<std::optional<runtime::Image>> result;
};
struct ImagePulled {
  ImageKey image;
  std::uint64_t generation = 0;
  Expected<runtime::Image> result;
};
struct PullSlotFree {};  // whoever had it
struct PullProgressed {
  ImageKey image;
  std::uint64_t generation = 0;
  std::uint64_t bytes = 0;
};
struct ImageUsed {  // by a task that runs: it is not removed before ImageReleased
  std::string task_id;
  std::string reference;
};
struct ImageReleased {
  std::string task_id;
};
struct ImageUnused {  // for image_delay, if the generation is still the image's
  std::string reference;
  std::uint64_t generation = 0;
};
struct ImageRemoved {
  std::string reference;
};
struct ImagesKept {
  Expected<std::set<std::string>> references;
};
struct PullTick {
  ImageKey image;
  std::uint64_t generation = 0;
};
struct PullWaitOver {  // of one of the tasks that wait for a pull
  ImageKey image;
  std::uint64_t number = 0;
};

// --- dangling containers -------------------------------------------------------------------------

struct ContainersListed {  // by the runtime, to the reaper
  Expected<std::vector<runtime::FoundContainer>> result;
  std::uint64_t look = 0;  // that asked for it
};
struct FindDangling {  // to the driver actor: which of these does no task own?
  std::vector<runtime::FoundContainer> containers;
};
struct TaskAbandoned {  // to the reaper: its container goes, whatever its age
  std::string task_id;
};
struct AbandonedEnded {  // by the runtime, to the reaper
  std::string task_id;
  Expected<void> result;
};
struct LookAgain {};
struct DanglingFound {  // its answer
  std::vector<runtime::FoundContainer> containers;
};

// --- fingerprint, events, life cycle of the helpers ----------------------------------------------

struct UseRuntime {  // to every helper, when a configuration is taken into use
  RuntimePtr runtime;
  std::shared_ptr<const PluginConfig> config;
};
struct Doubt {};  // the runtime's last answer may no longer hold
struct Probed {
  std::uint64_t generation = 0;
  Fingerprint fingerprint;
};
struct Tick {
  std::uint64_t generation = 0;
  std::uint64_t round = 0;
};
struct FirstAnswerDue {};
struct EmitEvent {
  TaskEvent event;
};
// The actors that serve all tasks. An empty handle: there is none at the moment.
struct Helpers {
  caf::actor events;
  caf::actor images;
  caf::actor sampler;
};
struct UseHelpers {  // after one of them was restarted
  Helpers helpers;
};
struct RestartHelper {
  int which = 0;
};
struct Stop {};

}  // namespace ndc::actors

// The one type-id block of the program.
CAF_BEGIN_TYPE_ID_BLOCK(ndc_actors, caf::first_custom_type_id)
ACT_MESSAGE(ndc_actors, ndc::actors::SetConfig)
ACT_MESSAGE(ndc_actors, ndc::actors::GetCapabilities)
ACT_MESSAGE(ndc_actors, ndc::actors::WatchFingerprint)
ACT_MESSAGE(ndc_actors, ndc::actors::WatchEvents)
ACT_MESSAGE(ndc_actors, ndc::actors::StartTask)
ACT_MESSAGE(ndc_actors, ndc::actors::RecoverTask)
ACT_MESSAGE(ndc_actors, ndc::actors::WaitTask)
ACT_MESSAGE(ndc_actors, ndc::actors::StopTask)
ACT_MESSAGE(ndc_actors, ndc::actors::DestroyTask)
ACT_MESSAGE(ndc_actors, ndc::actors::InspectTask)
ACT_MESSAGE(ndc_actors, ndc::actors::WatchUsage)
ACT_MESSAGE(ndc_actors, ndc::actors::SignalTask)
ACT_MESSAGE(ndc_actors, ndc::actors::ExecTask)
ACT_MESSAGE(ndc_actors, ndc::actors::ExecTaskStreaming)
ACT_MESSAGE(ndc_actors, ndc::actors::Shutdown)
ACT_MESSAGE(ndc_actors, ndc::actors::TaskRunning)
ACT_MESSAGE(ndc_actors, ndc::actors::TaskStartFailed)
ACT_MESSAGE(ndc_actors, ndc::actors::TaskEnded)
ACT_MESSAGE(ndc_actors, ndc::actors::TaskDestroyed)
ACT_MESSAGE(ndc_actors, ndc::actors::LogsLeft)
ACT_MESSAGE(ndc_actors, ndc::actors::Begin)
ACT_MESSAGE(ndc_actors, ndc::actors::JobChecked)
ACT_MESSAGE(ndc_actors, ndc::actors::ImageReady)
ACT_MESSAGE(ndc_actors, ndc::actors::RequestLostImage)
ACT_MESSAGE(ndc_actors, ndc::actors::ReopenLogs)
ACT_MESSAGE(ndc_actors, ndc::actors::LogsOpened)
ACT_MESSAGE(ndc_actors, ndc::actors::ContainerStarted)
ACT_MESSAGE(ndc_actors, ndc::actors::ContainerAttached)
ACT_MESSAGE(ndc_actors, ndc::actors::ContainerExited)
ACT_MESSAGE(ndc_actors, ndc::actors::RecoverTimer)
ACT_MESSAGE(ndc_actors, ndc::actors::Reattach)
ACT_MESSAGE(ndc_actors, ndc::actors::LogsDrained)
ACT_MESSAGE(ndc_actors, ndc::actors::StopTimer)
ACT_MESSAGE(ndc_actors, ndc::actors::DrainTimer)
ACT_MESSAGE(ndc_actors, ndc::actors::ContainerRemoved)
ACT_MESSAGE(ndc_actors, ndc::actors::OpenLogs)
ACT_MESSAGE(ndc_actors, ndc::actors::HoldLogs)
ACT_MESSAGE(ndc_actors, ndc::actors::FollowLogs)
ACT_MESSAGE(ndc_actors, ndc::actors::FinishLogs)
ACT_MESSAGE(ndc_actors, ndc::actors::LogsBroken)
ACT_MESSAGE(ndc_actors, ndc::actors::SampleContainer)
ACT_MESSAGE(ndc_actors, ndc::actors::Subscribe)
ACT_MESSAGE(ndc_actors, ndc::actors::Unsubscribe)
ACT_MESSAGE(ndc_actors, ndc::actors::UsageSampled)
ACT_MESSAGE(ndc_actors, ndc::actors::SamplesTaken)
ACT_MESSAGE(ndc_actors, ndc::actors::EnsureImage)
ACT_MESSAGE(ndc_actors, ndc::actors::ImageFound)
ACT_MESSAGE(ndc_actors, ndc::actors::ImagePulled)
ACT_MESSAGE(ndc_actors, ndc::actors::PullSlotFree)
ACT_MESSAGE(ndc_actors, ndc::actors::PullProgressed)
ACT_MESSAGE(ndc_actors, ndc::actors::ImageUsed)
ACT_MESSAGE(ndc_actors, ndc::actors::ImageReleased)
ACT_MESSAGE(ndc_actors, ndc::actors::ImageUnused)
ACT_MESSAGE(ndc_actors, ndc::actors::ImageRemoved)
ACT_MESSAGE(ndc_actors, ndc::actors::ImagesKept)
ACT_MESSAGE(ndc_actors, ndc::actors::PullTick)
ACT_MESSAGE(ndc_actors, ndc::actors::PullWaitOver)
ACT_MESSAGE(ndc_actors, ndc::actors::ContainersListed)
ACT_MESSAGE(ndc_actors, ndc::actors::FindDangling)
ACT_MESSAGE(ndc_actors, ndc::actors::DanglingFound)
ACT_MESSAGE(ndc_actors, ndc::actors::TaskAbandoned)
ACT_MESSAGE(ndc_actors, ndc::actors::AbandonedEnded)
ACT_MESSAGE(ndc_actors, ndc::actors::LookAgain)
ACT_MESSAGE(ndc_actors, ndc::actors::UseRuntime)
ACT_MESSAGE(ndc_actors, ndc::actors::Doubt)
ACT_MESSAGE(ndc_actors, ndc::actors::Probed)
ACT_MESSAGE(ndc_actors, ndc::actors::Tick)
ACT_MESSAGE(ndc_actors, ndc::actors::FirstAnswerDue)
ACT_MESSAGE(ndc_actors, ndc::actors::UseHelpers)
ACT_MESSAGE(ndc_actors, ndc::actors::RestartHelper)
ACT_MESSAGE(ndc_actors, ndc::actors::EmitEvent)
ACT_MESSAGE(ndc_actors, ndc::actors::Stop)
ACT_MESSAGE(ndc_actors, ndc::act::Crash)
CAF_END_TYPE_ID_BLOCK(ndc_actors)
