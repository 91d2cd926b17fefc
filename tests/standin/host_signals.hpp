// Signals have Linux' numbers in a container; this machine may have others.
#pragma once

namespace standin {

int to_host_signal(int linux_number);
int to_linux_signal(int host_number);

}  // namespace standin
