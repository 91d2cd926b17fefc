// conmon's `k8s-file` log: "<RFC 3339 time> <stdout|stderr> <F|P> <text>\n" a record. Pure logic.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ndc::runtime {

// Where a record ends in the log, and where its text ends among the decoded bytes.
struct LogRecordEnd {
  std::size_t log = 0;
  std::size_t text = 0;
};

struct DecodedLog {
  std::string text;
  std::vector<LogRecordEnd> records;
  std::size_t consumed = 0;  // bytes of the log, whole records only
};

// Decodes every whole record at the start of `log`. F is a full line and gets its newline back, P a
// part of one. A line that is no record is passed through as it is: output is never swallowed. With
// `at_end` an unfinished last record counts as a P.
DecodedLog decode_k8s_log(std::string_view log, bool at_end);

}  // namespace ndc::runtime
