variable "image" {
  default = "busybox:1.36"
}

job "web" {
  datacenters = ["dc1"]
  type        = "service"

  group "web" {
    count = 1

    network {
      port "http" {
        to = 8080
      }
    }

    service {
      name     = "docker-web"
      port     = "http"
      provider = "nomad"

      check {
        type     = "http"
        path     = "/"
        interval = "2s"
        timeout  = "1s"
      }
    }

    task "main" {
      driver = "docker"

      config {
        image        = var.image
        command      = "httpd"
        args         = ["-f", "-p", "8080", "-h", "/local"]
        ports        = ["http"]
        network_mode = "bridge"
        init         = true

        labels {
          team = "web"
        }
      }

      template {
        data        = "it works\n"
        destination = "local/index.html"
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
