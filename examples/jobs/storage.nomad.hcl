# Where a task's files come from: templates, files of the task's directory, a named volume, memory.
# The root file system itself is read-only, so that what the task writes is where it was meant to be.
# For Podman: Apple's container shares a directory of the host with a task only once, and has "local"
# and "secrets" at their own places already.
#
#   nomad job run storage.nomad.hcl
#   nomad var put nomad/jobs/storage greeting=hi    # renders the template anew and signals the task

variable "image" {
  default = "docker.io/library/busybox:1.36"
}

variable "greeting" {
  description = "Path of a Nomad variable with the key greeting; it need not exist."
  default     = "nomad/jobs/storage"
}

variable "volume" {
  description = "Named volume of the node, made when it is first used."
  default     = "storage-example"
}

job "storage" {
  group "app" {
    task "app" {
      driver = "container"

      config {
        image   = var.image
        command = "/bin/sh"
        args    = ["/local/run.sh"]

        readonly_rootfs = true

        # host:container[:options]. What has no leading slash is below the task's directory, so
        # "local/etc" is what the template below wrote.
        volumes = [
          "local/etc:/etc/app:ro",
          "${var.volume}:/var/lib/app",
        ]

        # The same as blocks, for those who prefer names to positions.
        mount {
          type     = "bind"
          source   = "secrets"
          target   = "/run/secrets"
          readonly = true
        }

        # Scratch space in memory, bounded, gone with the container.
        mount {
          type   = "tmpfs"
          target = "/scratch"
          tmpfs_options {
            size = 1048576 # bytes
            mode = 1777
          }
        }
      }

      template {
        destination   = "local/etc/app.conf"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        data          = <<EOF
greeting = {{ if nomadVarExists "${var.greeting}" }}{{ with nomadVar "${var.greeting}" }}{{ .greeting }}{{ end }}{{ else }}hello{{ end }}
EOF
      }

      template {
        destination = "secrets/token"
        perms       = "600"
        data        = "not a real one\n"
      }

      template {
        destination = "local/run.sh"
        data        = <<EOF
show() { cat /etc/app/app.conf; }
trap 'echo configured anew; show' HUP
trap 'exit 0' TERM

show
echo run >> /var/lib/app/runs
echo "runs on this node: $(wc -l < /var/lib/app/runs)"
df -k /scratch | awk 'END { print "scratch: " $2 " KiB" }'
test -r /run/secrets/token && echo "the token can be read"
touch /file 2>/dev/null || echo "the root file system cannot be written to"
while true; do sleep 1 & wait; done
EOF
      }

      # Apart from all that: /alloc is shared by the tasks of the allocation, /local and /secrets
      # are the task's own. Nomad's variables NOMAD_ALLOC_DIR, NOMAD_TASK_DIR and NOMAD_SECRETS_DIR
      # name them.

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
