#include "rpc/signals.hpp"

#include <unistd.h>

#include <csignal>
#include <cstring>

namespace ndc::rpc {
namespace {

// A handler may touch little more than this.
char socket_path[128];
char directory_path[128];

void end(int number) {
  unlink(socket_path);
  rmdir(directory_path);
  raise(number);  // delivered on return, with the default action again
}

void keep(char (&to)[128], const std::string& from) {
  if (from.size() < sizeof to) std::memcpy(to, from.c_str(), from.size() + 1);
}

}  // namespace

void handle_signals(const std::string& socket, const std::string& directory) {
  keep(socket_path, socket);
  keep(directory_path, directory);
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  struct sigaction action {};
  action.sa_handler = end;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGHUP, &action, nullptr);
}

void remove_socket_and_exit(const char* socket, const char* directory) {
  unlink(socket);
  rmdir(directory);
  _exit(0);
}

}  // namespace ndc::rpc
