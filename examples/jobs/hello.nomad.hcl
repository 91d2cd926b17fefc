# A web server that stays, and a report that runs once and fails on purpose.
#
#   nomad job run hello.nomad.hcl

variable "image" {
  description = "Any image with a shell and httpd."
  default     = "docker.io/library/busybox:1.36"
}

job "hello" {
  # No deployment to wait for: the report's failure is part of the example.
  update {
    max_parallel = 0
  }

  group "web" {
    network {
      port "http" {
        to = 8080
      }
    }

    service {
      name     = "hello-web"
      port     = "http"
      provider = "nomad"

      check {
        type     = "http"
        path     = "/"
        interval = "2s"
        timeout  = "1s"
      }
    }

    task "server" {
      driver = "container"

      config {
        image   = var.image
        command = "/bin/sh"
        args    = ["-c", "echo serving on port 8080; echo 'nothing to complain about' >&2; exec httpd -f -p 8080 -h /local"]
        ports   = ["http"]
        init    = true # a shell or server that is process 1 would not hear SIGTERM

        labels {
          team = "demo"
        }
      }

      template {
        data        = "hello from {{ env \"NOMAD_ALLOC_ID\" }}\n"
        destination = "local/index.html"
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }

  group "report" {
    restart {
      attempts = 0
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    task "report" {
      driver = "container"

      config {
        image   = var.image
        command = "/bin/sh"
        args    = ["-c", "echo \"$GREETING from the report\"; echo 'the report is incomplete' >&2; exit 3"]
      }

      env {
        GREETING = "hello"
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
