#include "runtime/doctor_report.hpp"

#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "model/error.hpp"

namespace ndc::runtime {
namespace {

constexpr std::size_t kResultWidth = 58;
constexpr std::size_t kCureWidth = 58;

const char* word(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kWarning:
      return "warning";
    case Verdict::kFailed:
      return "failed";
  }
  return "?";
}

const char* mark(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok  ";
    case Verdict::kWarning:
      return "warn";
    case Verdict::kFailed:
      return "FAIL";
  }
  return "?   ";
}

std::string harmless(std::string_view text) {
  std::string out = valid_utf8(text);
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return out;
}

// Characters, not bytes: a continuation byte of UTF-8 takes no column.
std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](unsigned char c) { return (c & 0xC0) != 0x80; }));
}

// Breaks at spaces; a word that is longer than the width keeps its line for itself.
std::vector<std::string> wrapped(const std::string& text, std::size_t width) {
  std::vector<std::string> lines{""};
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::string next = text.substr(begin, end - begin);
    begin = end + 1;
    if (next.empty()) continue;
    std::string& line = lines.back();
    if (line.empty()) {
      line = next;
    } else if (columns(line) + 1 + columns(next) <= width) {
      line += " " + next;
    } else {
      lines.push_back(next);
    }
  }
  return lines;
}

void cell(std::string& out, const std::string& text, std::size_t width) {
  out += text;
  const std::size_t used = columns(text);
  out.append(used < width ? width - used : 0, ' ');
  out += "  ";
}

}  // namespace

bool tasks_can_run(const Findings& findings) {
  return std::none_of(findings.begin(), findings.end(),
                      [](const Finding& finding) { return finding.verdict == Verdict::kFailed; });
}

std::string findings_table(const Findings& findings) {
  std::size_t check_width = 5;
  std::size_t result_width = 6;
  for (const Finding& finding : findings) {
    check_width = std::max(check_width, columns(harmless(finding.check)));
    for (const std::string& line : wrapped(harmless(finding.result), kResultWidth)) {
      result_width = std::max(result_width, columns(line));
    }
  }
  std::string out;
  const auto end_line = [&out] {
    out.erase(out.find_last_not_of(' ') + 1);
    out += '\n';
  };
  out += "      ";
  cell(out, "CHECK", check_width);
  cell(out, "RESULT", result_width);
  out += "CURE";
  end_line();
  for (const Finding& finding : findings) {
    const auto results = wrapped(harmless(finding.result), kResultWidth);
    const auto cures = wrapped(harmless(finding.cure), kCureWidth);
    for (std::size_t i = 0; i < std::max(results.size(), cures.size()); ++i) {
      out += i == 0 ? mark(finding.verdict) : "    ";
      out += "  ";
      cell(out, i == 0 ? harmless(finding.check) : "", check_width);
      cell(out, i < results.size() ? results[i] : "", result_width);
      if (i < cures.size()) out += cures[i];
      end_line();
    }
  }
  const auto count = [&findings](Verdict verdict) {
    return std::count_if(findings.begin(), findings.end(),
                         [verdict](const Finding& finding) { return finding.verdict == verdict; });
  };
  out += '\n';
  out += tasks_can_run(findings) ? "Tasks can run on this host" : "Tasks cannot run on this host";
  out += ": " + std::to_string(count(Verdict::kOk)) + " ok, " +
         std::to_string(count(Verdict::kWarning)) + " warnings, " +
         std::to_string(count(Verdict::kFailed)) + " failed.\n";
  return out;
}

std::string findings_json(const Findings& findings) {
  rapidjson::StringBuffer buffer;
  rapidjson::PrettyWriter<rapidjson::StringBuffer> writer{buffer};
  writer.SetIndent(' ', 2);
  const auto text = [&writer](const char* key, std::string_view value) {
    const std::string safe = valid_utf8(value);
    writer.Key(key);
    writer.String(safe.data(), static_cast<rapidjson::SizeType>(safe.size()));
  };
  writer.StartObject();
  writer.Key("ok");
  writer.Bool(tasks_can_run(findings));
  writer.Key("checks");
  writer.StartArray();
  for (const Finding& finding : findings) {
    writer.StartObject();
    text("check", finding.check);
    text("verdict", word(finding.verdict));
    text("result", finding.result);
    text("cure", finding.cure);
    writer.EndObject();
  }
  writer.EndArray();
  writer.EndObject();
  return std::string{buffer.GetString(), buffer.GetSize()} + "\n";
}

}  // namespace ndc::runtime
