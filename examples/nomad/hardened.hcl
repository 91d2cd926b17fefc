# What tasks of a shared node may ask for. It comes after the client's own file, and its plugin block
# replaces the one there as a whole:
#
#   nomad agent -config client-linux.hcl -config hardened.hcl

plugin "nomad-driver-container" {
  config {
    state_dir = "/var/lib/nomad-driver-container"

    # Images of these only, whichever way a job spells them: the full reference is what is compared.
    allowed_images = [
      "registry.example.com/*",
      "docker.io/library/*",
    ]

    # Whose password no job needs to know. It goes to this registry and to no other.
    auth {
      server_address = "registry.example.com"
      username       = "nomad"
      password       = "change me, and keep this file at mode 0600"
    }

    # No capability may be added, not even those of docker's default set; tasks may drop what is
    # left to them.
    allow_caps = []

    allow_privileged     = false
    allow_ssh_agent      = false
    allow_virtualization = false

    volumes {
      # Paths of the host below these only, after symlinks and ".." are resolved. Remove the list and
      # set enabled = false to allow none at all; a task's own directories can always be mounted.
      enabled       = true
      allowed_paths = ["/srv/nomad"]
    }

    # Who a container belongs to, for those who look at the host.
    extra_labels = ["namespace", "job_*", "task_*"]

    gc {
      dangling_containers {
        # Containers of this node that no task owns, after a crash or a mistake by hand.
        enabled        = true
        period         = "1m"
        creation_grace = "5m"
      }
    }
  }
}
