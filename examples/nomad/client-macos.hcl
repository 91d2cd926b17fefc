# A Mac with Apple silicon and macOS 26 that runs tasks with Apple's container: every task is a small
# virtual machine of its own.
#
#   container system start          # once, and after each restart of the Mac
#   nomad agent -config client-macos.hcl
#
# The agent runs as the user who started the container system: its images, networks and containers
# are that user's.

data_dir   = "/opt/nomad/data"
plugin_dir = "/opt/nomad/plugins"

client {
  enabled = true

  server_join {
    retry_join = ["127.0.0.1"] # your servers
  }

  # Ports are published on this interface's address; Nomad's own guess may be a VPN's.
  network_interface = "en0"

  # What macOS itself needs is not for tasks.
  reserved {
    cpu    = 2000 # MHz
    memory = 4096 # MB
  }
}

plugin "nomad-driver-container" {
  config {
    # "auto" takes Apple's container on macOS anyway; said here, a file copied to the wrong host is
    # refused.
    runtime        = "apple"
    container_path = "/usr/local/bin/container"

    state_dir = "/opt/nomad/driver-state"

    # The first start of a virtual machine may take longer than any later one.
    command_timeout = "60s"

    # Tasks may use the SSH agent of the user who started Nomad, and Rosetta needs no permission.
    allow_ssh_agent      = true
    allow_virtualization = false # nested virtualisation, M3 and newer

    gc {
      image       = true
      image_delay = "24h" # disks of laptops are small, but registries are far
    }
  }
}

telemetry {
  publish_allocation_metrics = true
}
