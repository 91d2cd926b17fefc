variable "image" {
  default = "busybox:1.36"
}

job "env" {
  datacenters = ["dc1"]
  type        = "batch"

  group "env" {
    task "main" {
      driver = "docker"

      config {
        image   = var.image
        command = "/bin/sh"
        args    = ["-c", "echo $COLOUR $REGION $SECRET"]
      }

      env {
        COLOUR = "green"
        REGION = "${node.region}"
      }

      template {
        data        = "SECRET=rendered\n"
        destination = "secrets/file.env"
        env         = true
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
