# The part of an agent's configuration that concerns the driver. The file in plugin_dir has the name
# of the block.

plugin_dir = "/opt/nomad/plugins"

plugin "nomad-driver-container" {
  config {
    # Where the driver keeps what must survive a restart of its own; a directory of the platform
    # when it is not set.
    # state_dir = "/var/lib/nomad-driver-container"

    # Longest wait for one image, and for any other call to Podman.
    image_pull_timeout = "5m"
    command_timeout    = "30s"

    # Nomad's metadata as labels nomad.<name> on the containers.
    extra_labels = ["job_name", "task_group_name", "task_name"]

    volumes {
      enabled = true
    }
  }
}

telemetry {
  # Without it Nomad does not ask for the usage of tasks.
  publish_allocation_metrics = true
}
