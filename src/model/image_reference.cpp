#include "model/image_reference.hpp"

#include <algorithm>

namespace ndc {
namespace {

bool lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool word(char c) { return lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '_'; }

bool is_repository(std::string_view text) {
  if (text.empty() || text.size() > 255) return false;
  bool begins = true;  // of a path component
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '/') {
      if (begins || !lower_or_digit(text[i - 1])) return false;
      begins = true;
    } else if (lower_or_digit(c)) {
      begins = false;
    } else if ((c != '.' && c != '_' && c != '-') || begins) {
      return false;
    }
  }
  return lower_or_digit(text.back());
}

// host[:port], or [IPv6 address][:port].
bool is_registry(std::string_view text) {
  const bool bracketed = text.starts_with('[');
  const std::size_t host_end = bracketed ? text.find(']') : text.find(':');
  const std::string_view host = text.substr(0, host_end);
  std::string_view port =
      host_end == std::string_view::npos ? std::string_view{} : text.substr(host_end + bracketed);
  if (host.size() < 1 + std::size_t{bracketed}) return false;
  if (bracketed && host_end == std::string_view::npos) return false;
  if (!port.empty()) {
    if (port.size() < 2 || port.front() != ':') return false;
    port.remove_prefix(1);
    if (port.find_first_not_of("0123456789") != std::string_view::npos) return false;
  }
  const std::string_view name = bracketed ? host.substr(1) : host;
  return name.front() != '-' && std::all_of(name.begin(), name.end(), [&](char c) {
           return word(c) || c == '.' || c == '-' || (bracketed && c == ':');
         });
}

bool is_tag(std::string_view text) {
  return !text.empty() && text.size() <= 128 && word(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return word(c) || c == '.' || c == '-'; });
}

bool is_digest(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view hex = text.substr(colon + 1);
  return hex.size() >= 32 && hex.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

std::string ImageReference::text() const {
  std::string out = registry + "/" + repository;
  if (!tag.empty()) out += ":" + tag;
  if (!digest.empty()) out += "@" + digest;
  return out;
}

std::string_view without_transport(std::string_view text) {
  for (bool found = true; found;) {
    found = false;
    for (const std::string_view transport : {"docker://", "https://", "http://"}) {
      if (!text.starts_with(transport)) continue;
      text.remove_prefix(transport.size());
      found = true;
    }
  }
  return text;
}

Expected<ImageReference> parse_image_reference(std::string_view text) {
  const auto refuse = [&](std::string why) {
    return fail({.code = ErrorCode::kInvalidConfig,
                 .what = "read image reference",
                 .on = std::string{text},
                 .cause = std::move(why),
                 .hint = "write for example \"docker.io/library/redis:7\""});
  };
  std::string_view rest = without_transport(text);
  ImageReference out;
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    out.digest = rest.substr(at + 1);
    if (!is_digest(out.digest)) return refuse("its digest is not one");
    rest = rest.substr(0, at);
  }
  // A first component with a dot or a port, or "localhost", is a registry.
  const std::size_t slash = rest.find('/');
  if (slash != std::string_view::npos) {
    const std::string_view first = rest.substr(0, slash);
    if (first == "localhost" || first.find_first_of(".:") != std::string_view::npos) {
      if (!is_registry(first)) return refuse("its registry is not one");
      out.registry = first;
      rest = rest.substr(slash + 1);
    }
  }
  if (const std::size_t colon = rest.rfind(':'); colon != std::string_view::npos) {
    out.tag = rest.substr(colon + 1);
    if (!is_tag(out.tag)) return refuse("its tag is not one");
    rest = rest.substr(0, colon);
  }
  if (!is_repository(rest)) {
    return refuse("its name has to be of lower-case letters, digits and separators");
  }
  out.repository = rest;
  // Other names of the same registry, with the same login.
  if (out.registry == "index.docker.io" || out.registry == "registry-1.docker.io") {
    out.registry = "docker.io";
  }
  if (out.registry.empty()) out.registry = "docker.io";
  if (out.registry == "docker.io" && out.repository.find('/') == std::string::npos) {
    out.repository = "library/" + out.repository;
  }
  if (out.tag.empty() && out.digest.empty()) out.tag = "latest";
  return out;
}

}  // namespace ndc
