// What the doctor found, as a table for people and as JSON for programs. Pure.
#pragma once

#include <string>
#include <vector>

namespace ndc::runtime {

// A warning is about something that some jobs need; tasks can run all the same.
enum class Verdict { kOk, kWarning, kFailed };

struct Finding {
  std::string check;  // "Podman"
  Verdict verdict = Verdict::kOk;
  std::string result;  // what was found
  std::string cure;    // what to do; empty where nothing is to be done
};

using Findings = std::vector<Finding>;

// No check has failed.
bool tasks_can_run(const Findings& findings);

// Columns check, result, cure, and a closing line. Control characters are made harmless.
std::string findings_table(const Findings& findings);

// {"ok": bool, "checks": [{"check", "verdict": "ok"|"warning"|"failed", "result", "cure"}]}
std::string findings_json(const Findings& findings);

}  // namespace ndc::runtime
