variable "image" {
  default = "busybox:1.36"
}

job "entrypoint" {
  datacenters = ["dc1"]
  type        = "batch"

  group "entrypoint" {
    task "main" {
      driver = "docker"

      config {
        image      = var.image
        entrypoint = ["/bin/sh", "-c"]
        args       = ["echo entered; echo failed >&2; exit 0"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
