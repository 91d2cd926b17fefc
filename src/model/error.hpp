// Errors as values. An Error says what was tried, on what, why it failed and what to do about it.
// It never carries a secret: callers pass names and ids, not values.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

namespace ndc {

// What kind of failure it is, as far as a caller must tell them apart.
enum class ErrorCode {
  kInternal,             // a bug of ours, or a machine failure without a better name
  kInvalidConfig,        // the job or the operator must change something; a retry cannot help
  kUnsupported,          // the runtime, or this version of the driver, cannot do it
  kTaskNotFound,         // unknown task id
  kAlreadyExists,        // task id or container name in use
  kWrongState,           // the task's state does not allow the call
  kImageNotFound,        // the registry answered: no such image
  kAuthFailed,           // the registry refused the credentials
  kRegistryUnreachable,  // no answer, or an answer that may change; a retry may help
  kRuntimeUnavailable,   // the runtime is missing, down, or broke off; a retry may help
  kTimeout,              // a deadline passed; a retry may help
  kStartFailed,          // the container's process could not be started
  kContainerGone,        // the container was removed behind our back
  kCancelled,            // the caller gave up
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string what{};   // what was tried: "start container"
  std::string on{};     // on what, printed in quotes: "nomad-web-0a1b2c3d"
  std::string cause{};  // why it failed
  std::string hint{};   // what to do; may be empty

  // One line, outside-in: `start container "nomad-web": no such image; check the name`.
  std::string message() const;

  // True where the same call may succeed later without anybody changing the job (Nomad then
  // applies the task's restart policy).
  bool recoverable() const;

  // The same failure seen from further out. Keeps code and hint.
  Error wrap(std::string outer_what, std::string outer_on = {}) &&;
};

template <class T>
using Expected = tl::expected<T, Error>;

// Shorthand for `return fail({...});`.
inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>{std::move(error)}; }

// Several errors of one input as a single kInvalidConfig (or their common code), each message once.
Error combine(std::string what, std::string on, const std::vector<Error>& errors);

// `text` in double quotes with control characters, quotes and invalid UTF-8 made harmless.
std::string quoted(std::string_view text);

// `text` as valid UTF-8: every offending byte becomes U+FFFD. Peer text goes through here before
// it reaches a protobuf string, because Go refuses a whole message with one bad byte.
std::string valid_utf8(std::string_view text);

}  // namespace ndc
