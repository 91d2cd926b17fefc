// Images through Podman: looked up, pulled with credentials that no command line shows, loaded from
// an archive.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "runtime/container_runtime.hpp"
#include "runtime/podman_cli.hpp"

namespace ndc::runtime {

// Loop thread only.
class PodmanImages : public std::enable_shared_from_this<PodmanImages> {
 public:
  explicit PodmanImages(std::shared_ptr<PodmanCli> cli) : cli_{std::move(cli)} {}

  void find(ImageQuery query, Done<std::optional<Image>> done);
  void pull(PullRequest request, Done<Image> done);
  void load(LoadRequest request, Done<Image> done);
  void remove(std::string reference, Done<void> done);

 private:
  // find() under another name of the image: its id.
  void find_as(const std::string& name, ImageQuery query, Done<std::optional<Image>> done);
  // The image has to be there now; `otherwise` says so if it is not.
  void require(const std::string& name, const ImageQuery& query, Error otherwise, Done<Image> done);

  std::shared_ptr<PodmanCli> cli_;
};

}  // namespace ndc::runtime
