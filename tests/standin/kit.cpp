#include "standin/kit.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "standin/text.hpp"
#include "support/places.hpp"

namespace standin::kit {

Running::Running(pid_t pid, Fd in, Fd out, Fd err)
    : pid_(pid), in_(std::move(in)), out_(std::move(out)), err_(std::move(err)) {}

Running::Running(Running&& other) noexcept
    : pid_(other.pid_),
      in_(std::move(other.in_)),
      out_(std::move(other.out_)),
      err_(std::move(other.err_)),
      text_(std::move(other.text_)),
      errors_(std::move(other.errors_)) {
  other.pid_ = -1;
}

Running::~Running() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

bool Running::read_some(int64_t until) {
  pollfd polled[2] = {{out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}};
  const int64_t left = until - now_ms();
  if ((!out_ && !err_) || left <= 0 || poll(polled, 2, static_cast<int>(left)) <= 0) return false;
  char buffer[65536];
  for (int i = 0; i < 2; ++i) {
    if (polled[i].revents == 0) continue;
    Fd& fd = i == 0 ? out_ : err_;
    const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
    if (got > 0) {
      (i == 0 ? text_ : errors_).append(buffer, static_cast<size_t>(got));
    } else {
      fd.reset();
    }
  }
  return true;
}

bool Running::await_output(const std::string& text) {
  const int64_t until = now_ms() + 20000;
  while (text_.find(text) == std::string::npos) {
    if (!out_ || !read_some(until)) return false;
  }
  return true;
}

Result Running::wait(int64_t deadline_ms) {
  const int64_t until = now_ms() + deadline_ms;
  while (read_some(until)) {
  }
  Result result = wait_undrained(until - now_ms());
  result.out = text_;
  result.err = errors_;
  return result;
}

Result Running::wait_undrained(int64_t deadline_ms) {
  Result result;
  if (pid_ <= 0) return result;
  int status = 0;
  const int64_t until = now_ms() + deadline_ms;
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    if (now_ms() > until) return result;
    poll(nullptr, 0, 2);
  }
  pid_ = -1;
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

void Running::signal(int number) const {
  if (pid_ > 0) kill(pid_, number);
}

// ---------------------------------------------------------------------------------------------

Standin::Standin(Version version) : version_(version) {
  char name[] = "/tmp/standin-test-XXXXXX";
  if (mkdtemp(name) == nullptr) throw std::runtime_error("no temporary directory");
  directory_ = name;
  set("NDC_STANDIN_STATE", directory_);
  set("NDC_STANDIN_VERSION", std::string(to_string(version)));
  set("NDC_STANDIN_STATS_MS", "0");
  set("NDC_STANDIN_DRAIN_MS", "15000");  // also where the machine is busy
}

Standin::~Standin() {
  remove_tree(path("faults"));
  Words words = {"delete", "--force"};
  for (const auto& id : list_directory(path("containers"))) words.push_back(id);
  if (words.size() > 2) run(words);
  remove_tree(directory_);
}

Running Standin::spawn(const Words& words) const {
  Pipe in = make_pipe();
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(in.read.get(), 0);
    dup2(out.write.get(), 1);
    dup2(err.write.get(), 2);
    ::signal(SIGPIPE, SIG_DFL);
    for (const auto& [name, value] : env_) setenv(name.c_str(), value.c_str(), 1);
    std::vector<char*> argv = {const_cast<char*>(ndc::test::places::standin)};
    for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(126);
  }
  return {pid, std::move(in.write), std::move(out.read), std::move(err.read)};
}

Running Standin::start(const Words& words) const { return spawn(words); }

Result Standin::run(const Words& words, const std::string& input) const {
  Running running = spawn(words);
  ::signal(SIGPIPE, SIG_IGN);
  write_all(running.in().get(), input);
  running.in().reset();
  return running.wait();
}

Json Standin::json(const Words& words) const {
  const Result result = run(words);
  auto json = parse_json(result.out);
  if (result.code != 0 || !json) {
    throw std::runtime_error(words[0] + " gave no JSON: " + result.out + result.err);
  }
  return *std::move(json);
}

void Standin::fault(const std::string& name, const std::string& text) const {
  make_directories(path("faults/state"));
  write_file(path("faults/" + name), text + "\n");
}

void Standin::no_fault(const std::string& name) const { unlink(path("faults/" + name).c_str()); }

pid_t Standin::pid_of(const std::string& id, int field) const {
  const auto fields = split(read("containers/" + id + "/state"), ' ');
  if (fields.size() < 5) return 0;
  return static_cast<pid_t>(std::strtol(fields[static_cast<size_t>(field)].c_str(), nullptr, 10));
}

// ---------------------------------------------------------------------------------------------

bool eventually(const std::function<bool()>& condition) {
  const int64_t until = now_ms() + 20000;
  while (!condition()) {
    if (now_ms() > until) return false;
    poll(nullptr, 0, 2);
  }
  return true;
}

bool is_alive(pid_t pid) { return kill(pid, 0) == 0; }

namespace {

void walk(const Value& value, const std::string& path, std::set<std::string>* shape) {
  const char* type = value.IsObject()   ? "object"
                     : value.IsArray()  ? "array"
                     : value.IsString() ? "string"
                     : value.IsBool()   ? "bool"
                     : value.IsNull()   ? "null"
                                        : "number";
  shape->insert((path.empty() ? "." : path) + " " + type);
  if (value.IsObject()) {
    for (const auto& member : value.GetObject()) {
      walk(member.value, path + "/" + member.name.GetString(), shape);
    }
  } else if (value.IsArray()) {
    for (const auto& item : value.GetArray()) walk(item, path + "/*", shape);
  }
}

}  // namespace

std::set<std::string> shape_of(const Value& value) {
  std::set<std::string> shape;
  walk(value, "", &shape);
  return shape;
}

std::set<std::string> recorded_shape(const std::string& name) {
  std::set<std::string> shape;
  for (auto& line :
       split(read_file(std::string{ndc::test::places::shapes} + "/" + name + ".txt").value_or(""),
             '\n')) {
    if (!line.empty()) shape.insert(std::move(line));
  }
  return shape;
}

}  // namespace standin::kit
