// A container as a task's: through the same interface, with the image's own command, no output, no
// directories.
#include <cstdio>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "model/container_name.hpp"
#include "model/labels.hpp"
#include "runtime/container_runtime.hpp"
#include "runtime/doctor_checks.hpp"
#include "runtime/make_runtime.hpp"

namespace ndc::runtime {
namespace {

constexpr const char* kCheck = "trial container";

// Waits for the answer of one call.
template <class T, class Call>
Expected<T> answer(Call call) {
  auto promise = std::make_shared<std::promise<Expected<T>>>();
  auto future = promise->get_future();
  call([promise](Expected<T> result) { promise->set_value(std::move(result)); });
  return future.get();
}

std::string random_id() {
  std::random_device random;
  char text[37];
  const auto part = [&random] { return random() & 0xffffu; };
  std::snprintf(text, sizeof text, "%04x%04x-0000-4000-8000-%04x%04x%04x", part(), part(), part(),
                part(), part());
  return text;
}

Finding failed(const Error& error) {
  return {kCheck, Verdict::kFailed, error.message(), error.hint};
}

Expected<Image> image_of(ContainerRuntime& runtime, const DoctorOptions& options) {
  const ImageQuery query{options.image, std::nullopt};
  auto found =
      answer<std::optional<Image>>([&](auto done) { runtime.find_image(query, std::move(done)); });
  if (!found) return fail(std::move(found.error()));
  if (*found) return **found;
  PullRequest pull;
  pull.image = query;
  pull.timeout = options.config.image_pull_timeout;
  pull.stall_timeout = options.config.image_pull_stall_timeout;
  return answer<Image>([&](auto done) { runtime.pull_image(std::move(pull), std::move(done)); });
}

}  // namespace

Findings trial_findings(const std::shared_ptr<EventLoop>& loop, const DoctorOptions& options) {
  auto runtime = make_runtime(options.config, loop);
  if (!runtime) return {failed(runtime.error())};
  const auto image = image_of(**runtime, options);
  if (!image) return {failed(image.error())};

  auto spec = std::make_shared<TaskSpec>();
  auto config = std::make_shared<TaskConfig>();
  spec->name = "doctor";
  spec->alloc_id = random_id();
  spec->id = spec->alloc_id + "/doctor/00000000";
  spec->stdout_path = spec->stderr_path = "/dev/null";
  spec->resources.memory_mb = 64;
  config->image = options.image;
  auto logs = (*runtime)->open_logs({spec->stdout_path, spec->stderr_path}, false);
  if (!logs) return {failed(logs.error())};

  StartRequest request;
  request.spec = spec;
  request.config = config;
  request.image = *image;
  request.container_name = container_name(spec->name, spec->alloc_id);
  for (auto& [key, value] : driver_labels(*spec, {})) request.labels[key] = value;
  request.logs = *logs;
  const auto started = answer<StartedContainer>([&](auto done) {
    (*runtime)->start(
        std::move(request), [](const TaskExit&) {}, std::move(done));
  });
  if (!started) return {failed(started.error())};
  const auto removed = answer<void>(
      [&](auto done) { (*runtime)->remove(started->container, false, std::move(done)); });
  if (!removed) return {failed(removed.error())};
  return {{kCheck,
           Verdict::kOk,
           started->container.name + " ran and is removed, image " + options.image,
           {}}};
}

}  // namespace ndc::runtime
