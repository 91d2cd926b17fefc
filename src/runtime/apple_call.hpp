// The command lines of Apple's CLI. AppleCli takes nothing else: these are all that the driver can
// emit, and tests put each of them before the grammar of every version. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace ndc {
struct TaskConfig;
}

namespace ndc::runtime {

struct AppleArguments;

class AppleCall {
 public:
  // --- the service
  static AppleCall version();
  static AppleCall system_status();
  static AppleCall system_version();

  // --- containers
  static AppleCall create(const AppleArguments& arguments);
  // Attached: it lasts as long as the container.
  static AppleCall start(const std::string& id, const TaskConfig& config);
  static AppleCall list_all();
  static AppleCall list_running();
  static AppleCall stats();  // of all that run
  // By Linux number: names mean macOS's signals in 0.x.
  static AppleCall kill(const std::string& id, int signal);
  static AppleCall stop(const std::string& id);    // with SIGKILL, and at most a second
  static AppleCall remove(const std::string& id);  // running or not
  static AppleCall exec(const std::string& id, const std::vector<std::string>& command);
  // With the CLI's own stdin, and one more variable ("NAME=value").
  static AppleCall exec_interactive(const std::string& id, const std::vector<std::string>& command,
                                    bool tty, const std::string& variable);

  // --- images; a prefix of references such as "docker://" is taken off
  static AppleCall image_inspect(const std::string& reference);
  static AppleCall image_pull(const std::string& reference, const std::string& platform);
  static AppleCall image_load(const std::string& archive);
  static AppleCall image_delete(const std::string& reference);

  // --- logins
  static AppleCall registry_list();
  // The password comes by the CLI's stdin.
  static AppleCall registry_login(const std::string& host, const std::string& user);
  static AppleCall registry_logout(const std::string& host);

  // --- networks
  static AppleCall network_list();
  static AppleCall network_create(const std::string& name,
                                  const std::vector<std::pair<std::string, std::string>>& labels);
  static AppleCall network_delete(const std::string& name);

  const std::vector<std::string>& words() const { return words_; }
  // The same behind the program's path.
  std::vector<std::string> argv(const std::string& program) const;

 private:
  explicit AppleCall(std::vector<std::string> words) : words_{std::move(words)} {}
  AppleCall& add(const std::vector<std::string>& more);

  std::vector<std::string> words_;
};

}  // namespace ndc::runtime
