// The doctor's checks, one function for each thing that is looked at. They may take as long as
// their calls' deadlines.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "runtime/doctor.hpp"
#include "runtime/doctor_report.hpp"
#include "runtime/process.hpp"

namespace ndc::runtime {

// What this host must have, whatever the engine says (doctor_host_linux.cpp).
Findings podman_host_findings(const DoctorOptions& options);

// What /etc/os-release calls the system; empty where it does not (doctor_host_linux.cpp). Pure.
std::string parse_os_release(std::string_view text);

// Asks podman (doctor_podman.cpp).
Findings podman_findings(EventLoop& loop, const DoctorOptions& options);

// What `podman info --format=json` tells. Pure, but for the two below.
Findings podman_info_findings(std::string_view json);

// Whether the manager that podman makes cgroups with ("systemd", "cgroupfs") is there.
Findings cgroup_manager_findings(const std::string& manager);

// Room for images and containers below `path`; empty where it cannot be known.
Findings storage_room_findings(const std::string& path);

// Asks Apple's container (doctor_apple.cpp).
Findings apple_findings(EventLoop& loop, const DoctorOptions& options);

// The answers of `container system version` and `container system status`, both with
// `--format json`. Pure.
Findings apple_version_findings(std::string_view version_json);
Findings apple_status_findings(const CommandResult& status);
// `sw_vers -productVersion` and `uname -m`. Pure.
Findings macos_findings(std::string_view version, std::string_view machine);

// Starts and removes a container as a task would (doctor_trial.cpp).
Findings trial_findings(const std::shared_ptr<EventLoop>& loop, const DoctorOptions& options);

}  // namespace ndc::runtime
