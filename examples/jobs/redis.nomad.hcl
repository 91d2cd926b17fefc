# Redis and, beside it, the exporter that a Prometheus reads: two containers of one allocation that
# share a network, so that the exporter finds Redis on 127.0.0.1 and nobody else has to.
#
#   nomad job run redis.nomad.hcl

variable "image" {
  default = "docker.io/library/redis:7.4"
}

variable "exporter_image" {
  default = "docker.io/oliver006/redis_exporter:v1.67.0"
}

variable "volume" {
  description = "Named volume of the node for Redis's data; it is made when it is first used."
  default     = "redis-data"
}

job "redis" {
  group "cache" {
    network {
      # One network namespace for the group, which Nomad makes (Linux, with the CNI plugins). Where
      # there is none, as on macOS, take this line out and give the exporter
      # network_mode = "task:redis".
      mode = "bridge"

      port "redis" {
        to = 6379
      }
      port "metrics" {
        to = 9121
      }
    }

    service {
      name     = "redis"
      port     = "redis"
      provider = "nomad"

      check {
        type     = "tcp"
        interval = "5s"
        timeout  = "2s"
      }
    }

    service {
      name     = "redis-metrics"
      port     = "metrics"
      provider = "nomad"

      check {
        type     = "http"
        path     = "/metrics"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "redis" {
      driver = "container"

      config {
        image   = var.image
        command = "redis-server"
        args    = ["/local/redis.conf"]

        # A named volume: it stays when the allocation goes, and belongs to the node.
        volumes = ["${var.volume}:/data"]
      }

      template {
        destination = "local/redis.conf"
        data        = <<EOF
port 6379
dir /data
appendonly yes
maxmemory 96mb
maxmemory-policy allkeys-lru
EOF
      }

      # Redis writes its data before it ends; SIGKILL in the middle of that would lose some.
      kill_timeout = "20s"

      resources {
        cpu    = 200
        memory = 128 # more than maxmemory: Redis needs room of its own
      }
    }

    task "exporter" {
      driver = "container"

      # Started when Redis runs, kept running as long as it does.
      lifecycle {
        hook    = "poststart"
        sidecar = true
      }

      config {
        image           = var.exporter_image
        entrypoint      = ["/redis_exporter"]
        readonly_rootfs = true
        cap_drop        = ["all"]
      }

      env {
        REDIS_ADDR = "redis://127.0.0.1:6379"
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
