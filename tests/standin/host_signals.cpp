#include "standin/host_signals.hpp"

#include <array>
#include <csignal>
#include <utility>

namespace standin {
namespace {

constexpr std::array<std::pair<int, int>, 11> kDiffering = {{{7, SIGBUS},
                                                             {10, SIGUSR1},
                                                             {12, SIGUSR2},
                                                             {17, SIGCHLD},
                                                             {18, SIGCONT},
                                                             {19, SIGSTOP},
                                                             {20, SIGTSTP},
                                                             {23, SIGURG},
                                                             {29, SIGIO},
                                                             {31, SIGSYS},
                                                             {28, SIGWINCH}}};

}  // namespace

int to_host_signal(int linux_number) {
  for (const auto& [in, host] : kDiffering) {
    if (in == linux_number) return host;
  }
  return linux_number;
}

int to_linux_signal(int host_number) {
  for (const auto& [in, host] : kDiffering) {
    if (host == host_number) return in;
  }
  return host_number;
}

}  // namespace standin
