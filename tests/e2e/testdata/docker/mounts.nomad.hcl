variable "image" {
  default = "busybox:1.36"
}

job "mounts" {
  datacenters = ["dc1"]
  type        = "batch"

  group "mounts" {
    task "main" {
      driver = "docker"

      config {
        image   = var.image
        command = "/bin/sh"
        args    = ["-c", "cat /conf/words; echo x > /scratch/x && df -k /scratch | awk 'END { print $2 }'; touch /conf/x 2>/dev/null || echo read only"]

        mount {
          type     = "bind"
          source   = "local"
          target   = "/conf"
          readonly = true
          bind_options {
            propagation = "rprivate"
          }
        }

        mount {
          type     = "tmpfs"
          target   = "/scratch"
          readonly = false
          tmpfs_options {
            size = 1048576
            mode = 1777
          }
        }
      }

      template {
        data        = "some words\n"
        destination = "local/words"
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
