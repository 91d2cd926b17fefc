variable "image" {
  default = "busybox:1.36"
}

job "args" {
  datacenters = ["dc1"]
  type        = "batch"

  group "args" {
    task "main" {
      driver = "docker"

      config {
        image    = var.image
        command  = "/bin/sh"
        args     = ["-c", "echo $0 $1 from ${NOMAD_TASK_NAME} in $(pwd)", "first", "the second"]
        work_dir = "/tmp"
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
