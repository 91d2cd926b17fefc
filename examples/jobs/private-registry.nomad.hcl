# An image from a registry that asks for a password. The password is in a Nomad variable, not in the
# job: whoever may read the job file, or the job in Nomad, does not see it.
#
#   nomad var put nomad/jobs/private-registry username=ci password=…
#   nomad job run -var image=registry.example.com/team/app:1.0 private-registry.nomad.hcl
#
# Credentials that all jobs of a node may use belong into the agent's configuration instead:
# ../nomad/hardened.hcl.

variable "image" {
  default = "registry.example.com/team/app:1.0"
}

variable "credentials" {
  description = "Path of the variable with username and password. A job may read nomad/jobs/<its id> without further policy."
  default     = "nomad/jobs/private-registry"
}

job "private-registry" {
  type = "batch"

  group "app" {
    # A registry that cannot be reached is worth another try; wrong credentials are not, and the
    # driver tells Nomad which of the two it was.
    restart {
      attempts = 3
      delay    = "10s"
      mode     = "fail"
    }

    task "app" {
      driver = "container"

      config {
        image = var.image

        # The server is the image's registry unless server_address names another: credentials never
        # go to a registry that they were not meant for.
        auth {
          username = "${REGISTRY_USERNAME}"
          password = "${REGISTRY_PASSWORD}"
        }

        # A tag that moves, as :latest, would need "always".
        pull_policy        = "missing"
        image_pull_timeout = "10m"

        # Without these the task would see the password in its own environment.
        env {
          REGISTRY_USERNAME = ""
          REGISTRY_PASSWORD = ""
        }
      }

      # Rendered before the task starts, in the secrets directory, which is in memory.
      template {
        destination = "secrets/registry.env"
        env         = true
        change_mode = "noop" # a new password is for the next pull, no reason to restart
        data        = <<EOF
{{ with nomadVar "${var.credentials}" }}
REGISTRY_USERNAME={{ .username | toJSON }}
REGISTRY_PASSWORD={{ .password | toJSON }}
{{ end }}
EOF
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
