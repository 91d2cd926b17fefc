// The monitor's role alone, as the plugin's program has it.
#include <string_view>

#include "runtime/monitor_process.hpp"

int main(int argc, char** argv) {
  if (argc < 2 || std::string_view{argv[1]} != "monitor") return 2;
  return ndc::runtime::monitor_main(argc - 2, argv + 2);
}
