#include "rpc/status.hpp"

#include <string>

#include "google/status.pb.h"
#include "nomad/shared/recoverable_error.pb.h"

namespace ndc::rpc {
namespace {

// Statuses travel in HTTP/2 headers, and with details the text is in there twice.
constexpr std::size_t kMaxText = std::size_t{8} * 1024;

std::string text_of(const Error& error) {
  if (error.code == ErrorCode::kTaskNotFound) return "task not found for given id";
  std::string text = error.message();
  if (text.empty()) return "unknown error";
  if (text.size() > kMaxText) text = text.substr(0, kMaxText) + " …";
  return valid_utf8(text);
}

}  // namespace

grpc::Status to_status(const Error& error) { return {grpc::StatusCode::UNKNOWN, text_of(error)}; }

grpc::Status to_start_status(const Error& error) {
  if (!error.recoverable()) return to_status(error);
  constexpr auto kCode = grpc::StatusCode::FAILED_PRECONDITION;
  hashicorp::nomad::plugins::shared::structs::RecoverableError recoverable;
  recoverable.set_recoverable(true);
  // The same code and text as in the status itself: newer clients compare them.
  google::rpc::Status details;
  details.set_code(kCode);
  details.set_message(text_of(error));
  details.add_details()->PackFrom(recoverable);
  return {kCode, text_of(error), details.SerializeAsString()};
}

grpc::Status shutting_down() {
  return {grpc::StatusCode::UNAVAILABLE, "the plugin is shutting down"};
}

}  // namespace ndc::rpc
