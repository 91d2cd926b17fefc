// The monitor's poll(), which outlives every failure. Part of the monitor: plain calls, no
// allocation.
#pragma once

#include <poll.h>

namespace ndc::runtime {

// As poll(), with these differences: a signal counts as nothing being ready (0), and every other
// failure (-1) returns after a pause only, so that the caller may simply go on. `revents` holds in
// each case.
int poll_or_pause(pollfd* fds, nfds_t count, int timeout_ms);

}  // namespace ndc::runtime
