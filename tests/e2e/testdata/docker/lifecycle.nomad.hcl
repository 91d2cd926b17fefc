variable "image" {
  default = "busybox:1.36"
}

job "lifecycle" {
  datacenters = ["dc1"]
  type        = "batch"

  group "lifecycle" {
    task "before" {
      driver = "docker"

      lifecycle {
        hook    = "prestart"
        sidecar = false
      }

      config {
        image   = var.image
        command = "sh"
        args    = ["-c", "echo before >> /alloc/data/order"]
      }
    }

    task "side" {
      driver = "docker"

      lifecycle {
        hook    = "poststart"
        sidecar = true
      }

      config {
        image   = var.image
        command = "sh"
        args    = ["-c", "trap 'exit 0' TERM; echo side >> /alloc/data/order; while true; do sleep 1 & wait; done"]
      }
    }

    task "main" {
      driver = "docker"

      config {
        image   = var.image
        command = "sh"
        args    = ["-c", "until grep -q side /alloc/data/order; do sleep 0.1; done; echo main >> /alloc/data/order"]
      }
    }

    task "after" {
      driver = "docker"

      lifecycle {
        hook = "poststop"
      }

      config {
        image   = var.image
        command = "cat"
        args    = ["/alloc/data/order"]
      }
    }
  }
}
