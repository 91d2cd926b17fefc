#include "runtime/exit_record.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstddef>
#include <cstdio>
#include <iterator>

#include "runtime/fnv.hpp"
#include "runtime/text_fields.hpp"

namespace ndc::runtime {
namespace {

constexpr std::string_view kVersion = "exit-record 1\n";
constexpr std::string_view kSum = "\nsum ";
constexpr const char* kKinds[] = {"exited", "signalled", "not-spawned"};

bool can_be(const ExitRecord& record) {
  if (record.at_ms > kLatestMs) return false;
  switch (record.kind) {
    case ExitRecord::Kind::kExited:
      return record.value <= 255;
    case ExitRecord::Kind::kSignalled:
      return record.value > 0 && record.value < 128;
    case ExitRecord::Kind::kNotSpawned:
      break;
  }
  return true;
}

}  // namespace

std::string exit_record_text(const ExitRecord& record) {
  std::string out{kVersion};
  out += kKinds[static_cast<std::size_t>(record.kind)];
  out += " " + std::to_string(record.value) + "\nat " + std::to_string(record.at_ms) + "\nstderr " +
         std::to_string(record.stderr_tail.size()) + "\n" + record.stderr_tail;
  char sum[32];
  std::snprintf(sum, sizeof sum, "\nsum %016" PRIx64 "\n", fnv1a(out));
  return out + sum;
}

std::optional<ExitRecord> parse_exit_record(std::string_view text) {
  ExitRecord out;
  std::string_view rest = text;
  std::string_view kind;
  std::size_t tail = 0;
  const bool whole = take(rest, kVersion) && take_until(rest, kind, ' ') &&
                     take_number(rest, out.value, '\n') && take(rest, "at ") &&
                     take_number(rest, out.at_ms, '\n') && take(rest, "stderr ") &&
                     take_number(rest, tail, '\n') && tail <= rest.size();
  const auto* const found = std::find(std::begin(kKinds), std::end(kKinds), kind);
  if (!whole || found == std::end(kKinds)) return std::nullopt;
  out.kind = static_cast<ExitRecord::Kind>(found - std::begin(kKinds));
  if (!can_be(out)) return std::nullopt;
  out.stderr_tail = rest.substr(0, tail);
  rest.remove_prefix(tail);
  const std::string_view summed = text.substr(0, text.size() - rest.size());
  std::uint64_t sum = 0;
  const bool right =
      take(rest, kSum) ? take_number(rest, sum, '\n', 16) && sum == fnv1a(summed) : rest.empty();
  if (!right) return std::nullopt;
  return out;
}

}  // namespace ndc::runtime
