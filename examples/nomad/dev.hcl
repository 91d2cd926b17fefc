# For trying things out: server and client in one process, nothing survives its end.
#
#   sudo nomad agent -dev -config dev.hcl

plugin_dir = "/opt/nomad/plugins"

# The file in plugin_dir has the name of this block. Without the block the driver runs too, with its
# defaults.
plugin "nomad-driver-container" {
  config {
    # Nomad's names as labels on the containers: podman ps --filter label=nomad.job_name=hello
    extra_labels = ["job_name", "task_group_name", "task_name"]

    gc {
      # Images are kept, so that the next try needs no registry.
      image = false
    }
  }
}

telemetry {
  # Without it Nomad does not ask for the usage of tasks.
  publish_allocation_metrics = true
}
