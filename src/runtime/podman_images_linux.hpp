// Images through Podman: looked up, pulled with credentials that no command line shows, loaded from
// an archive.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "runtime/container_runtime.hpp"
#include "runtime/podman_cli.hpp"

namespace ndc::runtime {

// Loop thread only.
class PodmanImages : public std::enable_shared_from_this<PodmanImages> {
 public:
  explicit PodmanImages(std::shared_ptr<PodmanCli> cli) : cli_{std::move(cli)} {}

  // An answer holds for as long as nothing changes in podman's own list of images: most starts ask
  // for what an earlier one has asked for, and a call of podman is a good part of a start.
  void find(ImageQuery query, Done<std::optional<Image>> done);
  // Where that list is (PodmanInfo); empty: asked each time.
  void know_store(std::string images_file) { images_file_ = std::move(images_file); }

  // A short name that this host's registries.conf has no registry for is docker.io's, as Nomad's
  // docker driver has it.
  void pull(PullRequest request, Done<Image> done);
  void load(LoadRequest request, Done<Image> done);
  void remove(std::string reference, Done<void> done);

 private:
  void pull_as(const std::string& name, PullRequest request, Done<Image> done);
  // What podman's list of images is by now; empty where that cannot be told.
  std::string revision() const;
  // find() under another name of the image: its id.
  void find_as(const std::string& name, ImageQuery query, Done<std::optional<Image>> done);
  // find_as() by one look, and by the looks after it: `pause` is until the next.
  void look(const std::string& name, ImageQuery query, std::chrono::milliseconds pause,
            Done<std::optional<Image>> done);
  void look_again(const std::string& name, ImageQuery query, std::chrono::milliseconds pause,
                  Error why, Done<std::optional<Image>> done);
  // Nothing where podman does not tell.
  void exists(const std::string& name, std::function<void(std::optional<bool>)> done);
  // The image has to be there now; `otherwise` says so if it is not.
  void require(const std::string& name, const ImageQuery& query, Error otherwise, Done<Image> done);

  std::shared_ptr<PodmanCli> cli_;
  std::string images_file_;
  std::string found_in_;                                        // the revision that `found_` is of
  std::map<std::pair<std::string, std::string>, Image> found_;  // by reference and platform
};

}  // namespace ndc::runtime
