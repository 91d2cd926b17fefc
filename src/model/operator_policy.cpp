#include "model/operator_policy.hpp"

#include <algorithm>
#include <set>

#include "model/image_reference.hpp"
#include "model/labels.hpp"
#include "model/linux_caps.hpp"

namespace ndc {
namespace {

Error refused(const char* key, std::string cause, std::string hint) {
  return {.code = ErrorCode::kInvalidConfig,
          .what = "use setting",
          .on = key,
          .cause = std::move(cause),
          .hint = std::move(hint)};
}

std::string joined(const std::set<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

void check_caps(const TaskConfig& task, const PluginConfig& plugin, std::vector<Error>& errors) {
  const auto& allowed = plugin.allow_caps ? *plugin.allow_caps : default_allowed_caps();
  if (allowed.contains(kAllCaps)) return;
  for (const std::string& cap : task.cap_add) {
    if (allowed.contains(cap)) continue;
    errors.push_back(refused(
        "cap_add", quoted(cap) + " is not allowed on this node",
        "the operator's allow_caps has " + (allowed.empty() ? "nothing" : joined(allowed))));
  }
}

void check_reference(const char* key, const std::string& image, const PluginConfig& plugin,
                     std::vector<Error>& errors) {
  const auto reference = parse_image_reference(image);
  if (!reference) {
    // An image id, for example: nobody can say which image that is.
    errors.push_back(refused(key, reference.error().message(),
                             "the operator's allowed_images needs a full reference"));
    return;
  }
  const std::string text = reference->text();
  const bool allowed = std::any_of(plugin.allowed_images.begin(), plugin.allowed_images.end(),
                                   [&](const std::string& glob) { return glob_match(glob, text); });
  if (allowed) return;
  std::string list;
  for (const std::string& glob : plugin.allowed_images) {
    list += (list.empty() ? "" : ", ") + quoted(glob);
  }
  errors.push_back(refused(key, quoted(text) + " is not allowed on this node",
                           "the operator's allowed_images has " + list));
}

void check_images(const TaskConfig& task, const PluginConfig& plugin, std::vector<Error>& errors) {
  if (plugin.allowed_images.empty()) return;
  if (task.load) {
    errors.push_back(refused("load", "the operator's allowed_images names what may run",
                             "an archive can hold anything under any name: push the image to a "
                             "registry"));
  }
  if (!task.image.empty()) check_reference("image", task.image, plugin, errors);  // said already
  if (task.init_image) check_reference("init_image", *task.init_image, plugin, errors);
}

// What is read-only or hidden in a container keeps it from the host's kernel: without it, root in
// the container is root on the host.
bool unmasks(const std::string& security_opt) {
  return security_opt.starts_with("unmask") || security_opt.starts_with("systempaths");
}

}  // namespace

std::vector<Error> policy_refusals(const TaskConfig& task, const PluginConfig& plugin) {
  std::vector<Error> errors;
  check_caps(task, plugin, errors);
  check_images(task, plugin, errors);
  const auto gate = [&](bool wanted, bool allowed, const char* key, const char* setting) {
    if (!wanted || allowed) return;
    errors.push_back(refused(key, "it is not allowed on this node",
                             std::string{"the operator can set "} + setting + " = true"));
  };
  gate(task.privileged, plugin.allow_privileged, "privileged", "allow_privileged");
  gate(std::any_of(task.security_opt.begin(), task.security_opt.end(), unmasks),
       plugin.allow_privileged, "security_opt", "allow_privileged");
  gate(task.ssh_agent, plugin.allow_ssh_agent, "ssh_agent", "allow_ssh_agent");
  gate(task.virtualization, plugin.allow_virtualization, "virtualization", "allow_virtualization");
  return errors;
}

std::string image_to_use(const std::string& image, const PluginConfig& plugin) {
  if (plugin.allowed_images.empty()) return std::string{without_transport(image)};
  const auto reference = parse_image_reference(image);
  return reference ? reference->text() : image;  // what is no reference is refused anyway
}

}  // namespace ndc
