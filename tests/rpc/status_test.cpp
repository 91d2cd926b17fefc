#include "support/catch.hpp"

#include "google/status.pb.h"
#include "nomad/shared/recoverable_error.pb.h"
#include "rpc/status.hpp"

using namespace ndc;
using namespace ndc::rpc;

TEST_CASE("an error is UNKNOWN with its text") {
  const auto status = to_status({.code = ErrorCode::kInvalidConfig, .what = "a", .cause = "b"});
  CHECK(status.error_code() == grpc::StatusCode::UNKNOWN);
  CHECK(status.error_message() == "a: b");
  CHECK(status.error_details().empty());
  CHECK_FALSE(to_status({}).error_message().empty());
}

TEST_CASE("an unknown task has the text that Nomad's own drivers use") {
  const auto status = to_status({.code = ErrorCode::kTaskNotFound, .what = "x", .on = "y"});
  CHECK(status.error_code() == grpc::StatusCode::UNKNOWN);
  CHECK(status.error_message() == "task not found for given id");
}

TEST_CASE("no error of a healthy plugin looks like its death") {
  for (int code = 0; code <= static_cast<int>(ErrorCode::kCancelled); ++code) {
    for (const auto& status :
         {to_status({.code = static_cast<ErrorCode>(code), .what = "x"}),
          to_start_status({.code = static_cast<ErrorCode>(code), .what = "x"})}) {
      CHECK(status.error_code() != grpc::StatusCode::OK);
      CHECK(status.error_code() != grpc::StatusCode::UNAVAILABLE);
      CHECK(status.error_code() != grpc::StatusCode::CANCELLED);
    }
  }
}

TEST_CASE("a recoverable start says so in the details, with the same code and text") {
  const auto status = to_start_status({.code = ErrorCode::kTimeout, .what = "pull"});
  CHECK(status.error_code() == grpc::StatusCode::FAILED_PRECONDITION);
  google::rpc::Status details;
  REQUIRE(details.ParseFromString(status.error_details()));
  CHECK(details.code() == 9);
  CHECK(details.message() == status.error_message());
  REQUIRE(details.details_size() == 1);
  CHECK(details.details(0).type_url() ==
        "type.googleapis.com/hashicorp.nomad.plugins.shared.structs.RecoverableError");
  CHECK(details.details(0).value() == std::string("\x08\x01"));
  // The bytes as Go reads them: code, message, details.
  CHECK(status.error_details().substr(0, 8) == std::string("\x08\x09\x12\x04pull"));

  const auto plain = to_start_status({.code = ErrorCode::kImageNotFound, .what = "pull"});
  CHECK(plain.error_code() == grpc::StatusCode::UNKNOWN);
  CHECK(plain.error_details().empty());
}

TEST_CASE("a status holds valid UTF-8 and stays small") {
  const auto status =
      to_start_status({.code = ErrorCode::kTimeout, .what = std::string(100'000, '\xff')});
  CHECK(status.error_message().size() < 20'000);
  CHECK(valid_utf8(status.error_message()) == status.error_message());
  CHECK(to_status({.what = "a\xff"}).error_message() == "a\xEF\xBF\xBD");
}
