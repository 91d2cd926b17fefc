#include "standin/workload.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "standin/sandbox.hpp"
#include "standin/text.hpp"

namespace standin {
namespace {

std::string find_executable(const std::string& name, const std::vector<std::string>& env) {
  if (name.find('/') != std::string::npos) return access(name.c_str(), X_OK) == 0 ? name : "";
  for (const auto& entry : env) {
    if (!entry.starts_with("PATH=")) continue;
    for (const auto& directory : split(entry.substr(5), ':')) {
      std::string path = (directory.empty() ? "." : directory) + "/" + name;
      if (access(path.c_str(), X_OK) == 0) return path;
    }
  }
  return {};
}

[[noreturn]] void give_up(int report, const std::string& text) {
  write_all(report, text);
  _exit(127);
}

// A PID 1 that passes signals on and reaps: --init.
volatile sig_atomic_t init_child = 0;
void pass_on(int number) {
  if (init_child > 0) kill(static_cast<pid_t>(init_child), number);
}

void become_init(int report) {
  const pid_t child = fork();
  if (child == 0) return;
  if (child < 0) give_up(report, "cannot fork");
  init_child = child;
  close(report);
  for (int number = 1; number < 32; ++number) {
    if (number != SIGCHLD && number != SIGKILL && number != SIGSTOP) signal(number, pass_on);
  }
  while (true) {
    int status = 0;
    const pid_t gone = wait(&status);
    if (gone == child) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    if (gone < 0 && errno != EINTR) _exit(1);
  }
}

[[noreturn]] void run_child(const Plan& plan, int in, int out, int err, int report) {
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setsid();
  if (plan.tty) ioctl(out, TIOCSCTTY, 0);
  dup2(in, 0);
  dup2(out, 1);
  dup2(err, 2);
  umask(022);
  for (const auto& [resource, limit] : plan.limits) setrlimit(resource, &limit);
  const std::string problem = sandbox_enter(plan);
  if (!problem.empty()) give_up(report, problem);
  if (plan.use_init && plan.join == 0) become_init(report);
  const std::string path = find_executable(plan.words[0], plan.env);
  if (path.empty()) give_up(report, "failed to find target executable " + plan.words[0]);
  std::vector<char*> argv;
  std::vector<char*> env;
  argv.reserve(plan.words.size() + 1);
  env.reserve(plan.env.size() + 1);
  for (const auto& word : plan.words) argv.push_back(const_cast<char*>(word.c_str()));
  for (const auto& entry : plan.env) env.push_back(const_cast<char*>(entry.c_str()));
  argv.push_back(nullptr);
  env.push_back(nullptr);
  execve(path.c_str(), argv.data(), env.data());
  give_up(report, "failed to exec " + plan.words[0] + ": " + std::strerror(errno));
}

bool open_terminal(Fd* master, Fd* slave) {
  *master = Fd(posix_openpt(O_RDWR | O_NOCTTY));
  if (!*master || grantpt(master->get()) != 0 || unlockpt(master->get()) != 0) return false;
  *slave = Fd(open(ptsname(master->get()), O_RDWR | O_NOCTTY));
  fcntl(master->get(), F_SETFD, FD_CLOEXEC);
  fcntl(slave->get(), F_SETFD, FD_CLOEXEC);
  return static_cast<bool>(*slave);
}

}  // namespace

Workload start_workload(const Plan& plan, Fd input) {
  Workload workload;
  Pipe report = make_pipe();
  Pipe out;
  Pipe err;
  Fd master;
  Fd slave;
  if (plan.tty) {
    if (!open_terminal(&master, &slave)) {
      workload.error = "cannot open a terminal";
      return workload;
    }
  } else {
    out = make_pipe();
    err = make_pipe();
    if (!input) input = Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  }
  workload.pid = sandbox_fork(plan);
  if (workload.pid == 0) {
    if (plan.tty) run_child(plan, slave.get(), slave.get(), slave.get(), report.write.get());
    run_child(plan, input.get(), out.write.get(), err.write.get(), report.write.get());
  }
  if (workload.pid < 0) {
    workload.error = "cannot start a process";
    return workload;
  }
  report.write.reset();
  char text[512];
  ssize_t got = 0;
  do {
    got = read(report.read.get(), text, sizeof text);
  } while (got < 0 && errno == EINTR);
  if (got > 0) {
    workload.error.assign(text, static_cast<size_t>(got));
    waitpid(workload.pid, nullptr, 0);
    workload.pid = -1;
    return workload;
  }
  workload.out = plan.tty ? std::move(master) : std::move(out.read);
  workload.err = std::move(err.read);
  return workload;
}

}  // namespace standin
