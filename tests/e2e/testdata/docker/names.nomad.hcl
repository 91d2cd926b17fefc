variable "image" {
  default = "busybox:1.36"
}

job "names" {
  datacenters = ["dc1"]
  type        = "batch"

  group "names" {
    task "main" {
      driver = "docker"

      config {
        image              = var.image
        command            = "/bin/sh"
        args               = ["-c", "hostname; grep -v '^#' /etc/resolv.conf; grep -w db /etc/hosts | awk '{ print $1 }'"]
        hostname           = "app-${NOMAD_ALLOC_INDEX}"
        dns_servers        = ["192.0.2.53"]
        dns_search_domains = ["internal.test"]
        dns_options        = ["ndots:2"]
        extra_hosts        = ["db:192.0.2.7"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
