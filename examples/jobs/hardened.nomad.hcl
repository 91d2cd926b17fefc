# A task with as few rights as a program can live with. Each line takes away something that most
# programs never use; start from here and give back what yours misses.
#
#   nomad job run hardened.nomad.hcl
#
# It runs on nodes with the policy of ../nomad/hardened.hcl too.

variable "image" {
  description = "In earnest name it by digest, image@sha256:…: what a digest names cannot change."
  default     = "docker.io/library/busybox:1.36"
}

job "hardened" {
  type = "batch"

  # The settings below that only one engine has.
  constraint {
    attribute = "${attr.driver.container.feature.security_opt}"
    value     = "true"
  }

  group "app" {
    task "app" {
      driver = "container"

      # By number: it needs no account in the image.
      user = "1000:1000"

      config {
        image   = var.image
        command = "/bin/sh"
        args = ["-c", <<EOF
id -u
grep CapEff /proc/self/status
grep NoNewPrivs /proc/self/status
touch /file 2>/dev/null || echo "the root file system cannot be written to"
touch /tmp/file && echo "/tmp can"
EOF
        ]

        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"] # no setuid program gives rights back
        readonly_rootfs = true
        tmpfs           = ["/tmp:size=16m,mode=1777,noexec"]
        pids_limit      = 64 # a fork bomb ends here
        shm_size        = "1m"
        network_mode    = "none" # for work that talks to nobody
        ulimit {
          nofile = "1024"
          nproc  = "4000" # of all processes of this user on the node
          core   = "0"
        }
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
