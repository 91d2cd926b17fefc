// Both JSON families: every sample is understood, and no key is needed but a container's id.
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>

#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "runtime/apple_json.hpp"
#include "support/catch.hpp"
#include "support/places.hpp"

using namespace ndc;
using namespace ndc::runtime;

namespace {

std::string sample(const std::string& name) {
  const std::ifstream file{std::string{test::places::samples} + "/" + name + ".json"};
  std::stringstream text;
  text << file.rdbuf();
  REQUIRE(!text.str().empty());
  return text.str();
}

const char* const kFamilies[] = {"0.11.0", "1.0.0", "1.2.2"};

void parse_as(const std::string& file, const std::string& json) {
  if (file.starts_with("inspect") || file.starts_with("list")) (void)parse_apple_containers(json);
  if (file.starts_with("network")) (void)parse_apple_networks(json);
  if (file.starts_with("image")) (void)parse_apple_images(json);
  if (file.starts_with("stats")) (void)parse_apple_stats(json);
  if (file.starts_with("system-status")) (void)parse_apple_status(json);
  if (file.starts_with("system-version")) (void)parse_apple_versions(json);
}

std::string text_of(const rapidjson::Value& value) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer{buffer};
  value.Accept(writer);
  return buffer.GetString();
}

// Calls `use` with the document once for each member anywhere in it: missing, null, of a wrong
// type.
void vary(rapidjson::Document& document, rapidjson::Value& at, const std::function<void()>& use,
          int& count) {
  if (at.IsArray()) {
    for (auto& element : at.GetArray()) vary(document, element, use, count);
    return;
  }
  if (!at.IsObject()) return;
  for (rapidjson::SizeType i = 0; i < at.MemberCount(); ++i) {
    auto& member = *(at.MemberBegin() + i);
    rapidjson::Value saved;
    saved.Swap(member.value);
    for (int kind = 0; kind < 3; ++kind) {
      if (kind == 0) member.value.SetNull();
      if (kind == 1) member.value.SetInt(-7);
      if (kind == 2) member.value.SetArray();
      use();
      ++count;
    }
    member.value.Swap(saved);
    const std::string name = member.name.GetString();
    member.name.SetString("unknown", document.GetAllocator());
    use();
    member.name.SetString(name.c_str(), document.GetAllocator());
    vary(document, member.value, use, count);
  }
}

}  // namespace

TEST_CASE("containers of each family say the same") {
  for (const char* family : kFamilies) {
    for (const char* command : {"inspect-", "list-"}) {
      INFO(command << family);
      const auto all = parse_apple_containers(sample(std::string{command} + family));
      REQUIRE(all);
      REQUIRE(all->size() == 3);
      const AppleContainer& running = (*all)[0];
      CHECK(running.id == "web-8f1c2a9e");
      CHECK(running.running());
      REQUIRE(running.started);
      REQUIRE(running.addresses.size() == 1);
      CHECK(running.addresses[0].network == "default");
      CHECK(running.addresses[0].address == "192.168.64.3");
      CHECK(running.labels.at("flag").empty());
      CHECK(running.labels.at("dev.example.nomad.alloc").size() == 36);
      const AppleContainer& ended = (*all)[1];
      CHECK(ended.state == "stopped");
      CHECK(ended.started);
      const AppleContainer& created = (*all)[2];
      CHECK(created.state == "stopped");
      CHECK(!created.started);
    }
  }
}

TEST_CASE("what runs was started, whether or not the engine says when") {
  const auto was_started = [](const std::string& json) {
    const auto all = parse_apple_containers("[" + json + "]");
    REQUIRE(all);
    REQUIRE(all->size() == 1);
    return all->front().was_started();
  };
  for (const char* date : {"", R"(,"startedDate":null)"}) {
    INFO(date);
    const std::string more = std::string{date} + "}";
    CHECK(was_started(R"({"configuration":{"id":"ab"},"status":"running")" + more));
    CHECK(was_started(R"({"id":"ab","status":{"state":"running")" + more + "}"));
    CHECK(was_started(R"({"id":"ab","status":{"state":"stopping")" + more + "}"));
    CHECK(!was_started(R"({"configuration":{"id":"ab"},"status":"stopped")" + more));
    CHECK(!was_started(R"({"id":"ab","status":{"state":"stopped")" + more + "}"));
  }
  CHECK(
      was_started(R"({"configuration":{"id":"ab"},"status":"stopped","startedDate":796810530.5})"));
}

TEST_CASE("dates of both families are Unix times") {
  const auto old_family = parse_apple_containers(
      R"([{"configuration":{"id":"ab"},"status":"running","startedDate":796810530.5}])");
  REQUIRE(old_family);
  CHECK(old_family->front().started == WallTime{std::chrono::milliseconds{1775117730500}});
  const auto new_family = parse_apple_containers(
      R"([{"id":"ab","status":{"state":"running","startedDate":"2026-08-10T08:15:30Z"}}])");
  REQUIRE(new_family);
  CHECK(new_family->front().started == WallTime{std::chrono::seconds{1786349730}});
}

TEST_CASE("networks of each family have name, labels and date") {
  for (const char* family : kFamilies) {
    INFO(family);
    const auto networks = parse_apple_networks(sample(std::string{"network-list-"} + family));
    REQUIRE(networks);
    REQUIRE(networks->size() == 2);
    CHECK((*networks)[0].name == "default");
    CHECK((*networks)[1].name == "backend");
    CHECK((*networks)[1].labels.at("dev.example.nomad") == "1");
    CHECK((*networks)[1].created);
  }
}

TEST_CASE("images of each family have name, digest and variants") {
  for (const char* family : kFamilies) {
    INFO(family);
    const auto images = parse_apple_images(sample(std::string{"image-inspect-"} + family));
    REQUIRE(images);
    REQUIRE(images->size() == 1);
    const AppleImage& image = images->front();
    CHECK(image.name == "docker.io/library/alpine:3.22");
    CHECK(image.digest ==
          "sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1");
    CHECK(variant_for(image, "linux/arm64") != nullptr);
    CHECK(variant_for(image, "linux/arm64/v8") != nullptr);
    CHECK(variant_for(image, "linux/amd64") != nullptr);
    CHECK(variant_for(image, "linux/s390x") == nullptr);
    const auto list = parse_apple_images(sample(std::string{"image-list-"} + family));
    REQUIRE(list);
    CHECK(list->front().name == "docker.io/library/alpine:3.22");
    CHECK(list->front().digest == image.digest);
  }
}

TEST_CASE("missing numbers of statistics stay missing") {
  for (const char* family : kFamilies) {
    const auto usage = parse_apple_stats(sample(std::string{"stats-"} + family));
    REQUIRE(usage);
    CHECK(usage->at("web-8f1c2a9e").cpu_usec == 183042u);
    CHECK(usage->at("web-8f1c2a9e").memory_bytes == 21594112u);
  }
  const auto partial = parse_apple_stats(R"([{"id":"a"},{"id":"b","cpuUsageUsec":null}])");
  REQUIRE(partial);
  CHECK(!partial->at("a").cpu_usec);
  CHECK(!partial->at("b").cpu_usec);
  CHECK(!partial->at("b").memory_bytes);
}

TEST_CASE("versions and status of each family") {
  for (const char* family : kFamilies) {
    const auto versions = parse_apple_versions(sample(std::string{"system-version-"} + family));
    REQUIRE(versions);
    CHECK(versions->cli == family);
    CHECK(versions->daemon == family);
    const auto status = parse_apple_status(sample(std::string{"system-status-"} + family));
    REQUIRE(status);
    CHECK(*status == "running");
  }
  CHECK(*parse_apple_status(R"({"apiServer":{"status":"running"}})") == "running");
  CHECK(parse_apple_versions(R"([{"version":"1.2.2"}])")->daemon.empty());
  CHECK(apple_version_in("container CLI version 1.2.2 (build: release, commit: 7c3e5a1)") ==
        "1.2.2");
}

TEST_CASE("no key is needed, and none of a wrong type breaks anything") {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator{test::places::samples}) {
    const std::string file = entry.path().filename().string();
    rapidjson::Document document;
    const std::string json = sample(entry.path().stem().string());
    document.Parse(json.c_str());
    REQUIRE(!document.HasParseError());
    vary(
        document, document, [&] { parse_as(file, text_of(document)); }, count);
    for (std::size_t size = 0; size < json.size(); size += 97) {
      parse_as(file, json.substr(0, size));
    }
  }
  CHECK(count > 1000);
}

// "No such container" is an end, and ends in a removal by force.
TEST_CASE("a list with a container whose id cannot be read does not say that one is gone") {
  constexpr const char* kGood = R"({"id":"ab","status":{"state":"running"}})";
  CHECK(parse_apple_containers(std::string{"["} + kGood + "]")->size() == 1);
  CHECK(parse_apple_containers("[]")->empty());
  for (const char* bad :
       {R"({"status":{"state":"running"}})", R"({"identifier":"cd","status":"running"})",
        R"({"id":7,"status":{"state":"running"}})", R"({"id":"","configuration":{"id":null}})",
        R"({"configuration":{},"status":"running"})", "{}", "null", "\"cd\"", "[]"}) {
    INFO(bad);
    for (const std::string& list :
         {std::string{bad}, std::string{kGood} + "," + bad, std::string{bad} + "," + kGood}) {
      CHECK(!parse_apple_containers("[" + list + "]"));
    }
  }
}

TEST_CASE("what is no answer is an error") {
  for (const char* bad : {"", "{", "[", "{}", "null", "garbage", "[[[[[[["}) {
    CHECK(!parse_apple_containers(bad));
    CHECK(!parse_apple_versions(bad));
  }
  CHECK(!parse_apple_containers(std::string(100, '[') + std::string(100, ']')));
}
