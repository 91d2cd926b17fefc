variable "image" {
  default = "busybox:1.36"
}

job "templates" {
  datacenters = ["dc1"]
  type        = "batch"

  group "templates" {
    task "main" {
      driver = "docker"

      config {
        image   = var.image
        command = "/bin/sh"
        args    = ["-c", "cat /etc/app/app.conf; touch /etc/app/app.conf 2>/dev/null || echo read only"]
        volumes = ["local/app.conf:/etc/app/app.conf:ro"]
      }

      template {
        data        = <<EOF
task = {{ env "NOMAD_TASK_NAME" }}
EOF
        destination = "local/app.conf"
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
