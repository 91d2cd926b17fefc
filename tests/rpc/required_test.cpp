// A response that lacks one of these sub-messages crashes the whole agent.
#include "support/catch.hpp"

#include <sstream>

#include "rpc/wire.hpp"
#include "rpc/wire_time.hpp"

using namespace ndc::rpc;

namespace {

// Whether the sub-message at a path such as "task.result" is there.
bool has(const google::protobuf::Message& message, const std::string& path) {
  const google::protobuf::Message* at = &message;
  std::istringstream names{path};
  for (std::string name; std::getline(names, name, '.');) {
    const auto* field = at->GetDescriptor()->FindFieldByName(name);
    REQUIRE(field != nullptr);
    if (!at->GetReflection()->HasField(*at, field)) return false;
    at = &at->GetReflection()->GetMessage(*at, field);
  }
  return true;
}

template <class Response>
void needs(std::initializer_list<const char*> paths, Response response = {}) {
  fill_required(response);
  for (const char* path : paths) {
    INFO(response.GetTypeName() << " " << path);
    CHECK(has(response, path));
  }
}

}  // namespace

TEST_CASE("no response leaves without the sub-messages that the agent takes for granted") {
  needs<wire::TaskConfigSchemaResponse>({"spec"});
  needs<wire::CapabilitiesResponse>({"capabilities"});
  needs<wire::StartTaskResponse>({"handle", "handle.config"});
  needs<wire::WaitTaskResponse>({"result"});
  needs<wire::InspectTaskResponse>(
      {"task", "task.result", "task.started_at", "task.completed_at", "driver"});
  needs<wire::TaskStatsResponse>({"stats", "stats.timestamp", "stats.agg_resource_usage",
                                  "stats.agg_resource_usage.cpu",
                                  "stats.agg_resource_usage.memory"});
  needs<wire::DriverTaskEvent>({"timestamp"});
  needs<wire::ExecTaskResponse>({"result"});
  wire::ExecTaskStreamingResponse exit;
  exit.set_exited(true);
  needs({"result"}, exit);
}

TEST_CASE("filling in leaves alone what is there") {
  wire::WaitTaskResponse response;
  response.mutable_result()->set_exit_code(3);
  fill_required(response);
  CHECK(response.result().exit_code() == 3);

  wire::InspectTaskResponse inspected;
  inspected.mutable_task()->mutable_started_at()->set_seconds(7);
  fill_required(inspected);
  CHECK(inspected.task().started_at().seconds() == 7);
  CHECK(inspected.task().completed_at().seconds() == kGoZeroSeconds);

  wire::ExecTaskStreamingResponse output;
  output.mutable_stdout()->set_data("x");
  fill_required(output);
  CHECK_FALSE(output.has_result());
}
