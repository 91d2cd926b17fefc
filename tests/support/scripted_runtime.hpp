// A ContainerRuntime whose every call waits for the test to answer it, and that records what was
// asked as a transcript of lines.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/container_runtime.hpp"

namespace ndc::test {

// A route that notes what is done to it. One that is not pumped has nothing left at its end.
class ScriptedRoute final : public runtime::LogRoute {
 public:
  ScriptedRoute(std::vector<std::string>& transcript, bool pumped)
      : transcript_{transcript}, pumped_{pumped} {}
  // What was returned last.
  std::shared_ptr<const void> held() const override { return held_.lock(); }
  std::shared_ptr<const void> hold() override {
    transcript_.emplace_back("hold logs");
    const auto token = std::make_shared<const int>();
    held_ = token;
    return token;
  }
  void follow(const ContainerRef& container, std::function<void(Error)>) override {
    transcript_.push_back("follow " + container.name);
  }
  void finish(std::function<void()> drained) override {
    transcript_.push_back("finish logs");
    if (!pumped_) return drained();
    drained_ = std::move(drained);
  }
  void drain() { std::exchange(drained_, nullptr)(); }

 private:
  std::vector<std::string>& transcript_;
  bool pumped_;
  std::weak_ptr<const void> held_;
  std::function<void()> drained_;
};

class ScriptedRuntime final : public runtime::ContainerRuntime {
 public:
  std::vector<std::string> transcript;
  std::deque<std::function<void(Fingerprint)>> probes;
  std::deque<runtime::Done<void>> checks;
  std::deque<runtime::Done<std::optional<runtime::Image>>> finds;
  std::deque<runtime::Done<runtime::Image>> pulls;
  std::deque<runtime::Done<runtime::StartedContainer>> starts;
  std::deque<runtime::Done<runtime::Attached>> attaches;
  std::deque<runtime::Done<void>> signals;
  std::deque<runtime::Done<void>> stops;
  std::deque<runtime::Done<void>> removes;
  std::deque<std::function<void(std::vector<runtime::UsageReading>)>> samples;
  std::vector<ContainerRef> sampled;
  std::vector<runtime::ExitSink> exits;
  std::vector<runtime::StartRequest> start_requests;
  std::vector<runtime::PullRequest> pull_requests;
  std::vector<std::shared_ptr<ScriptedRoute>> routes;

  std::string_view name() const override { return "scripted"; }
  void probe(std::function<void(Fingerprint)> done) override {
    transcript.emplace_back("probe");
    probes.push_back(std::move(done));
  }
  void on_doubt(std::function<void()> tell) override { doubt = std::move(tell); }
  std::function<void()> doubt;
  void check(std::shared_ptr<const TaskSpec> spec, std::shared_ptr<const TaskConfig>,
             runtime::Done<void> done) override {
    transcript.push_back("check " + spec->name);
    checks.push_back(std::move(done));
  }
  void find_image(runtime::ImageQuery image,
                  runtime::Done<std::optional<runtime::Image>> done) override {
    transcript.push_back("find " + image.reference);
    finds.push_back(std::move(done));
  }
  void pull_image(runtime::PullRequest request, runtime::Done<runtime::Image> done) override {
    transcript.push_back("pull " + request.image.reference +
                         (request.auth ? " as " + request.auth->username : ""));
    pull_requests.push_back(std::move(request));
    pulls.push_back(std::move(done));
  }
  void load_image(runtime::LoadRequest request, runtime::Done<runtime::Image> done) override {
    transcript.push_back("load " + request.archive);
    pulls.push_back(std::move(done));
  }
  void remove_image(std::string reference, runtime::Done<void> done) override {
    transcript.push_back("remove image " + reference);
    removes.push_back(std::move(done));
  }
  std::set<std::string> references;  // kept for the next plugin
  void keep_references(std::set<std::string> all) override { references = std::move(all); }
  void kept_references(runtime::Done<std::set<std::string>> done) override { done(references); }
  void list_containers(runtime::Done<std::vector<runtime::FoundContainer>> done) override {
    transcript.emplace_back("list containers");
    lists.push_back(std::move(done));
  }
  std::deque<runtime::Done<std::vector<runtime::FoundContainer>>> lists;
  Expected<std::shared_ptr<runtime::LogRoute>> open_logs(const runtime::LogPaths&,
                                                         bool tty) override {
    transcript.emplace_back("open logs");
    routes.push_back(std::make_shared<ScriptedRoute>(transcript, tty));
    return std::shared_ptr<runtime::LogRoute>{routes.back()};
  }
  void start(runtime::StartRequest request, runtime::ExitSink exited,
             runtime::Done<runtime::StartedContainer> done) override {
    transcript.push_back("start " + request.container_name);
    start_requests.push_back(std::move(request));
    exits.push_back(std::move(exited));
    starts.push_back(std::move(done));
  }
  void attach(ContainerRef container, runtime::ExitSink exited,
              runtime::Done<runtime::Attached> done) override {
    transcript.push_back("attach " + container.name);
    exits.push_back(std::move(exited));
    attaches.push_back(std::move(done));
  }
  void signal(ContainerRef container, int number, runtime::Done<void> done) override {
    transcript.push_back("signal " + container.name + " " + std::to_string(number));
    signals.push_back(std::move(done));
  }
  void stop(ContainerRef container, runtime::Done<void> done) override {
    transcript.push_back("stop " + container.name);
    stops.push_back(std::move(done));
  }
  void remove(ContainerRef container, bool keep, runtime::Done<void> done) override {
    transcript.push_back((keep ? "keep " : "remove ") + container.name);
    removes.push_back(std::move(done));
  }
  void disown(const std::string& container_name) override {
    transcript.push_back("disown " + container_name);
  }
  void sample(std::vector<ContainerRef> containers,
              std::function<void(std::vector<runtime::UsageReading>)> done) override {
    transcript.push_back("sample " + std::to_string(containers.size()));
    sampled = std::move(containers);
    samples.push_back(std::move(done));
  }
  void exec(ContainerRef container, ExecRequest, std::shared_ptr<ExecClient> client,
            runtime::Done<std::shared_ptr<ExecSession>> done) override {
    transcript.push_back("exec " + container.name);
    exec_clients.push_back(std::move(client));
    execs.push_back(std::move(done));
  }
  std::deque<std::shared_ptr<ExecClient>> exec_clients;
  std::deque<runtime::Done<std::shared_ptr<ExecSession>>> execs;

  // Answers the oldest open call of a kind.
  template <class Queue, class Answer>
  static void answer(Queue& queue, Answer value) {
    auto done = std::move(queue.front());
    queue.pop_front();
    done(std::move(value));
  }

  int count(const std::string& prefix) const {
    int n = 0;
    for (const auto& line : transcript) n += line.starts_with(prefix) ? 1 : 0;
    return n;
  }
};

}  // namespace ndc::test
