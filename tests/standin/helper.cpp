#include "standin/helper.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "standin/ports.hpp"
#include "standin/sandbox.hpp"
#include "standin/session.hpp"
#include "standin/version.hpp"
#include "standin/workload.hpp"

namespace standin {
namespace {

char* title = nullptr;
size_t title_size = 0;

void set_title(const std::string& text) {
  if (title == nullptr) return;
  std::memset(title, 0, title_size);
  std::memcpy(title, text.data(), std::min(text.size(), title_size - 1));
}

// The caller's descriptors are none of the helper's business: an inherited write end of a pipe
// would keep its reader waiting for as long as the container lives.
void close_others(const Fd& control, const Fd& in, const Fd& out, const Fd& err) {
  const long limit = std::min(sysconf(_SC_OPEN_MAX), 1024L);
  for (int fd = 3; fd < limit; ++fd) {
    if (fd != control.get() && fd != in.get() && fd != out.get() && fd != err.get()) close(fd);
  }
  const int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
  if (null > 2) close(null);
}

[[noreturn]] void run_helper(const Plan& plan, const HelperOptions& options, Connection mine) {
  setsid();
  close_others(mine.control, mine.in, mine.out, mine.err);
  umask(022);
  set_title((options.is_exec ? "container-exec-helper " : "container-helper ") + plan.id);
  Session session(plan.id, options, std::move(mine));
  const std::string problem =
      chdir(plan.directory.c_str()) == 0 ? session.begin(plan) : "container directory is gone";
  if (!problem.empty()) {
    session.refuse(problem);
    _exit(1);
  }
  session.run();
  _exit(0);
}

}  // namespace

void remember_arguments(int argc, char** argv) {
  title = argv[0];
  title_size = 0;
  for (int i = 0; i < argc; ++i) {
    if (argv[i] != title + title_size) break;
    title_size += std::strlen(argv[i]) + 1;
  }
}

Connection launch_helper(const Plan& plan, const HelperOptions& options) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0) fail("cannot create a socket pair");
  for (const int fd : sockets) fcntl(fd, F_SETFD, FD_CLOEXEC);
  Connection cli;
  Connection helper;
  cli.control = Fd(sockets[0]);
  helper.control = Fd(sockets[1]);
  if (options.attached) {
    Pipe out = make_pipe();
    Pipe err = make_pipe();
    cli.out = std::move(out.read);
    helper.out = std::move(out.write);
    cli.err = std::move(err.read);
    helper.err = std::move(err.write);
    if (options.interactive) {
      Pipe in = make_pipe();
      cli.in = std::move(in.write);
      helper.in = std::move(in.read);
    }
  }
  const pid_t middle = fork();
  if (middle < 0) fail("cannot fork");
  if (middle == 0) {
    if (fork() != 0) _exit(0);
    run_helper(plan, options, std::move(helper));
  }
  waitpid(middle, nullptr, 0);
  return cli;
}

}  // namespace standin
