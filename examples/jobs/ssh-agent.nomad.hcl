# Clones a private repository with the keys of the SSH agent on the node. The keys stay in the agent:
# the task gets a socket that can sign, and no file.
#
# The Nomad client must have been started with SSH_AUTH_SOCK in its environment, and the operator can
# forbid it (allow_ssh_agent = false).
#
#   nomad job run -var repository=git@example.com:team/app.git ssh-agent.nomad.hcl

variable "image" {
  description = "An image with git and an SSH client."
  default     = "docker.io/alpine/git:v2.47.2"
}

variable "repository" {
  default = "git@github.com:hashicorp/nomad.git"
}

job "ssh-agent" {
  type = "batch"

  constraint {
    attribute = "${attr.driver.container.feature.ssh_agent}"
    value     = "true"
  }

  group "clone" {
    task "clone" {
      driver = "container"

      config {
        image = var.image

        # The image has an ENTRYPOINT of its own; said here, the job does not depend on it.
        entrypoint = ["git"]
        args       = ["clone", "--depth=1", var.repository, "/alloc/data/checkout"]

        ssh_agent = true

        env {
          # A container knows no hosts yet and has nobody to ask. Pin the key instead of accepting
          # whichever comes.
          GIT_SSH_COMMAND = "ssh -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/local/known_hosts"
        }
      }

      template {
        destination = "local/known_hosts"
        data        = <<EOF
github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl
EOF
      }

      resources {
        cpu    = 200
        memory = 256
      }
    }
  }
}
