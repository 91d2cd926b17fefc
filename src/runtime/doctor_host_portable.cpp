#include "runtime/doctor_checks.hpp"

namespace ndc::runtime {

Findings podman_host_findings(const DoctorOptions&) {
  return {{"operating system", Verdict::kFailed, "Podman runs containers on Linux only",
           "use --runtime apple on macOS"}};
}

Findings storage_room_findings(const std::string&) { return {}; }

}  // namespace ndc::runtime
