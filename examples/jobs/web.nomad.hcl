# A web server in two instances: a dynamic port, a health check that decides about the deployment, and
# a rolling update that goes back by itself when the new version is not well.
#
#   nomad job run web.nomad.hcl
#   nomad service info web
#   curl http://<address:port>/

variable "image" {
  description = "Any image with httpd, as busybox has it."
  default     = "docker.io/library/busybox:1.36"
}

job "web" {
  update {
    max_parallel     = 1
    min_healthy_time = "3s"
    healthy_deadline = "2m"
    auto_revert      = true
  }

  group "web" {
    count = 2

    network {
      # Nomad chooses the host's port, so two instances fit on one node. `to` is the port in the
      # container: the program needs to know nothing of Nomad.
      port "http" {
        to = 8080
      }
    }

    service {
      name     = "web"
      port     = "http"
      provider = "nomad"

      check {
        type     = "http"
        path     = "/healthy"
        interval = "5s"
        timeout  = "2s"

        # A server that hangs is restarted, one that is only starting is not.
        check_restart {
          limit = 3
          grace = "20s"
        }
      }
    }

    task "server" {
      driver = "container"

      # Not root: nothing here needs it, the port is above 1024.
      user = "nobody"

      config {
        image   = var.image
        command = "httpd"
        args    = ["-f", "-v", "-p", "8080", "-h", "/local/site"]
        ports   = ["http"]

        # httpd does not care for SIGTERM when it is process 1; behind an init it ends at once.
        init = true
      }

      template {
        destination = "local/site/index.html"
        data        = <<EOF
served by allocation {{ env "NOMAD_ALLOC_ID" }}
EOF
      }

      template {
        destination = "local/site/healthy"
        data        = "yes\n"
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
