# Work that is done once, fails now and then, and is tried again: first on the same node, then on
# another. A task before it prepares the data.
#
#   nomad job run batch.nomad.hcl
#   nomad job allocs batch

variable "image" {
  default = "docker.io/library/busybox:1.36"
}

variable "retry_delay" {
  default = "5s"
}

job "batch" {
  type = "batch"

  group "import" {
    # On this node: three more attempts within the interval …
    restart {
      attempts = 3
      interval = "10m"
      delay    = var.retry_delay
      mode     = "fail"
    }

    # … and then on others, waiting longer each time.
    reschedule {
      attempts       = 2
      interval       = "1h"
      delay          = "30s"
      delay_function = "exponential"
      max_delay      = "10m"
      unlimited      = false
    }

    # A prestart task without `sidecar` must end well before the main task begins.
    task "fetch" {
      driver = "container"

      lifecycle {
        hook = "prestart"
      }

      config {
        image   = var.image
        command = "/bin/sh"
        args    = ["-c", "seq 1 1000 > /alloc/data/numbers"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }

    task "sum" {
      driver = "container"

      config {
        image   = var.image
        command = "/bin/sh"
        args    = ["/local/sum.sh"]

        # The image is there after the first attempt: a retry needs no registry.
        pull_policy = "missing"
      }

      # The first attempt fails, to show a retry. /alloc outlives the container.
      template {
        destination = "local/sum.sh"
        data        = <<EOF
if [ ! -e /alloc/data/attempted ]; then
  touch /alloc/data/attempted
  echo "the first attempt fails" >&2
  exit 1
fi
awk '{ sum += $1 } END { print "the sum is " sum }' /alloc/data/numbers
EOF
      }

      resources {
        cpu    = 100
        memory = 32
        # The scheduler counts with `memory`; the task may use up to this where the operator allows
        # oversubscription. Past it the kernel ends the task, and its event says "OOM Killed".
        memory_max = 64
      }
    }
  }
}
