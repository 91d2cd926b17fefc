variable "image" {
  default = "busybox:1.36"
}

variable "server" {
  default = "registry.example.com"
}

job "private" {
  datacenters = ["dc1"]
  type        = "batch"

  group "private" {
    task "main" {
      driver = "docker"

      config {
        image          = var.image
        auth_soft_fail = false

        auth {
          username       = "someone"
          password       = "s3cr3t"
          server_address = var.server
        }
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
