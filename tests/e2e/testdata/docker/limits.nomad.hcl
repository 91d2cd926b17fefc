variable "image" {
  default = "busybox:1.36"
}

job "limits" {
  datacenters = ["dc1"]
  type        = "batch"

  group "limits" {
    task "main" {
      driver = "docker"

      config {
        image      = var.image
        command    = "/bin/sh"
        args       = ["-c", "ulimit -n; cat /proc/sys/net/core/somaxconn; df -k /dev/shm | awk 'END { print $2 }'; cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max"]
        shm_size   = 2097152
        pids_limit = 50
        init       = true

        ulimit {
          nofile = "1024:1024"
          nproc  = "4000"
        }

        sysctl = {
          "net.core.somaxconn" = "512"
        }
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
