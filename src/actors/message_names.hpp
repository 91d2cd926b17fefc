// The actors and the messages that faults at the message queue can name. Complete: act::Host and
// act::tell compile with no others. The messages of timers are missing, as no fault strikes them.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace ndc::actors {

inline constexpr auto kActorNames = std::to_array<std::string_view>({
    "driver_actor",  // the root
    // One of each for a task.
    "task_actor",
    "log_forwarder_actor",
    "stats_actor",
    // For all tasks.
    "image_actor",
    "stats_sampler_actor",
    "event_actor",
    "fingerprint_actor",
    "reaper_actor",
});

inline constexpr auto kMessageNames = std::to_array<std::string_view>({
    // To the driver actor from outside; those of one task go on to its task actor.
    "SetConfig",
    "GetCapabilities",
    "WatchFingerprint",
    "WatchEvents",
    "StartTask",
    "RecoverTask",
    "WaitTask",
    "StopTask",
    "DestroyTask",
    "InspectTask",
    "WatchUsage",
    "SignalTask",
    "ExecTask",
    "ExecTaskStreaming",
    "Shutdown",
    // To the driver actor from a task actor.
    "TaskRunning",
    "TaskStartFailed",
    "TaskEnded",
    "LogsLeft",
    "TaskDestroyed",
    // To a task actor: what it was started for, its runtime calls, its children.
    "Begin",
    "JobChecked",
    "ImageReady",
    "LogsOpened",
    "ContainerStarted",
    "ContainerAttached",
    "ContainerExited",
    "LogsDrained",
    "LogsBroken",
    "ContainerRemoved",
    // To a log forwarder actor.
    "OpenLogs",
    "HoldLogs",
    "FollowLogs",
    "FinishLogs",
    // To a stats actor and to the sampler.
    "SampleContainer",
    "UsageSampled",
    "Subscribe",
    "Unsubscribe",
    "SamplesTaken",
    // To the image actor.
    "EnsureImage",
    "ImageFound",
    "ImagePulled",
    "PullSlotFree",
    "PullProgressed",
    "ImageUsed",
    "ImageReleased",
    "ImageRemoved",
    "ImagesKept",
    // To the reaper actor; FindDangling to the driver actor.
    "ContainersListed",
    "FindDangling",
    "DanglingFound",
    "TaskAbandoned",
    "AbandonedEnded",
    // To the fingerprint actor and to the event actor.
    "Doubt",
    "Probed",
    "EmitEvent",
    // To several: the helpers, those who use them, all.
    "UseRuntime",
    "UseHelpers",
    "Stop",
});

template <class Names>
constexpr bool is_among(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace ndc::actors
