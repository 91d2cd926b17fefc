// What the driver says about tasks and its node, as the wire's messages. Every string that goes out
// is valid UTF-8: Go refuses a whole message for one bad byte.
#pragma once

#include <string>

#include "actors/driver.hpp"
#include "rpc/wire.hpp"

namespace ndc::rpc {

// The version of TaskHandle messages that this plugin writes, and the newest that it reads.
inline constexpr int kHandleVersion = 1;

wire::CapabilitiesResponse to_wire(const actors::DriverCapabilities& capabilities);
wire::FingerprintResponse to_wire(const Fingerprint& fingerprint);
wire::StartTaskResponse to_wire(const actors::TaskStarted& started, const wire::TaskConfig& task);
// An unknown exit has code -1 and an error text: it never looks like a status that was seen.
wire::WaitTaskResponse to_wire(const TaskExit& exit);
wire::InspectTaskResponse to_wire(const TaskStatus& status);
wire::TaskStatsResponse to_wire(const ResourceUsage& usage, const std::string& task_id);
wire::DriverTaskEvent to_wire(const TaskEvent& event);
wire::NetworkOverride to_wire(const DriverNetwork& network);

// The exit of a command in a task. An unknown one is an error, as there is no text to say so.
Expected<wire::ExitResult> to_exec_exit(const ExitStatus& status);

// The driver's state in a handle that Nomad gives back. kInvalidConfig without one, or for a handle
// of a future version.
struct RecoveredHandle {
  std::string task_id;
  std::string driver_state;
};
Expected<RecoveredHandle> read_handle(const wire::RecoverTaskRequest& request);

}  // namespace ndc::rpc
