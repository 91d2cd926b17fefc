#include "runtime/apple_words.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>

namespace ndc::runtime {
namespace {

constexpr char kName = '*';
constexpr std::string_view kWordEnd = " \t\r\"";

// "network timeout not found": what stands between one of the first and one of the second.
constexpr std::string_view kSubjects[] = {"container ", "container with id ", "image ", "network ",
                                          "volume "};
constexpr std::string_view kPredicates[] = {" already ", " is ", " not found", " (cause:"};

// One name, whatever comes behind it.
constexpr std::string_view kBeforeName[] = {"for host ", "keychain for ", "manifest of "};

// Several, or one that may be any text: nothing of the CLI's own comes behind it.
constexpr std::string_view kBeforeRest[] = {
    "already exist: ",     "already exists: ",   "not found: ",
    "no such container: ", "target executable ", "find user "};

bool is_alnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

std::string lower(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// A path in single quotes may hold one itself, and words of the CLI have apostrophes.
void cut_quoted(std::string& line) {
  std::size_t begin = line.find('\'');
  while (begin != std::string::npos && begin > 0 && is_alnum(line[begin - 1])) {
    begin = line.find('\'', begin + 1);
  }
  if (begin == std::string::npos) return;
  std::size_t end = line.rfind('\'');
  while (end > begin && end + 1 < line.size() && is_alnum(line[end + 1])) {
    end = line.rfind('\'', end - 1);
  }
  if (end > begin) line.replace(begin + 1, end - begin - 1, 1, kName);
}

void cut_rest(std::string& line) {
  for (const std::string_view before : kBeforeRest) {
    const std::size_t at = line.find(before);
    if (at != std::string::npos) line.replace(at + before.size(), std::string::npos, 1, kName);
  }
}

// Where `fits` the text behind it.
template <class Fits>
void cut_word_after(std::string& line, std::string_view before, const Fits& fits) {
  for (std::size_t at = line.find(before); at != std::string::npos; at = line.find(before, at)) {
    at += before.size();
    const std::size_t end = std::min(line.find_first_of(kWordEnd, at), line.size());
    if (end > at && fits(std::string_view{line}.substr(end))) {
      line.replace(at, end - at, 1, kName);
    }
  }
}

void cut_names(std::string& line) {
  const auto is_predicate = [](std::string_view rest) {
    return std::any_of(std::begin(kPredicates), std::end(kPredicates),
                       [&](std::string_view each) { return rest.starts_with(each); });
  };
  for (const std::string_view subject : kSubjects) cut_word_after(line, subject, is_predicate);
  for (const std::string_view before : kBeforeName) {
    cut_word_after(line, before, [](std::string_view) { return true; });
  }
}

// Paths, URLs and most images. What has a parenthesis in it is the name of a call.
void cut_words_with_slash(std::string& line) {
  std::string out;
  for (std::size_t at = 0; at < line.size();) {
    const std::size_t end = std::min(line.find_first_of(kWordEnd, at), line.size());
    const std::string_view word = std::string_view{line}.substr(at, end - at);
    const bool call = word.find('(', 1) != std::string_view::npos;
    if (!call && word.find('/') != std::string_view::npos) {
      out += kName;
    } else {
      out += word;
    }
    if (end < line.size()) out += line[end];
    at = end + 1;
  }
  line = std::move(out);
}

}  // namespace

std::string apple_words(std::string_view text) {
  std::string out;
  while (true) {
    const std::size_t end = text.find('\n');
    std::string line = lower(text.substr(0, end));
    cut_quoted(line);
    cut_rest(line);
    cut_names(line);
    cut_words_with_slash(line);
    out += line;
    if (end == std::string_view::npos) return out;
    out += '\n';
    text.remove_prefix(end + 1);
  }
}

bool has_code_word(std::string_view words, std::string_view code) {
  const std::string spoken = std::string{code} + ": \"";
  for (std::size_t at = words.find(spoken); at != std::string_view::npos;
       at = words.find(spoken, at + 1)) {
    if (at == 0 || words[at - 1] == ' ' || words[at - 1] == '"') return true;
  }
  return false;
}

}  // namespace ndc::runtime
