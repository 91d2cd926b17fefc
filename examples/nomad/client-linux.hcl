# A Linux client that runs tasks with Podman. The agent runs as root.
#
#   nomad agent -config client-linux.hcl

data_dir   = "/opt/nomad/data"
plugin_dir = "/opt/nomad/plugins"

client {
  enabled = true

  server_join {
    retry_join = ["127.0.0.1"] # your servers
  }

  # For groups with network { mode = "bridge" }: the CNI plugins (Debian: containernetworking-plugins).
  cni_path = "/usr/lib/cni:/opt/cni/bin"
}

plugin "nomad-driver-container" {
  config {
    # "auto" takes Podman on Linux anyway; said here, a file copied to the wrong host is refused.
    runtime = "podman"

    # crun starts faster than runc; krun or kata make every container a small virtual machine. By
    # default it is Podman's own choice.
    # oci_runtime = "crun"

    # What has to survive a restart of the driver; by default a directory of the platform.
    state_dir = "/var/lib/nomad-driver-container"

    extra_labels = ["job_name", "task_group_name", "task_name"]

    # A pull may take long as long as it moves: the whole of it, and the longest silence in it.
    image_pull_timeout       = "15m"
    image_pull_stall_timeout = "2m"
    max_concurrent_pulls     = 3

    gc {
      # Images that no task of this node has used for an hour. Leave it off where other people's
      # containers use the same Podman.
      image       = true
      image_delay = "1h"
    }
  }
}

telemetry {
  # Without it Nomad does not ask for the usage of tasks.
  publish_allocation_metrics = true
}
