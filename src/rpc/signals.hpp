// What the plugin does on signals. Tasks are never stopped by one.
#pragma once

#include <string>

namespace ndc::rpc {

// SIGINT and SIGPIPE are ignored: Ctrl-C in a foreground agent reaches its plugins, too, and the
// host may die before us. SIGTERM and SIGHUP end the process as ever, but remove the socket first.
void handle_signals(const std::string& socket, const std::string& directory);

// For the way out that must not hang. No destructors run.
[[noreturn]] void remove_socket_and_exit(const char* socket, const char* directory);

}  // namespace ndc::rpc
