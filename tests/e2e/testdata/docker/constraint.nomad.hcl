variable "image" {
  default = "busybox:1.36"
}

job "constraint" {
  datacenters = ["dc1"]
  type        = "batch"

  group "constraint" {
    constraint {
      attribute = "${attr.kernel.name}"
      value     = "linux"
    }

    restart {
      attempts = 1
      mode     = "fail"
    }
    task "main" {
      driver = "docker"

      config {
        image              = var.image
        command            = "uname"
        args               = ["-s"]
        force_pull         = false
        network_mode       = "host"
        privileged         = false
        tty                = false
        image_pull_timeout = "5m"
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
