variable "image" {
  default = "busybox:1.36"
}

job "security" {
  datacenters = ["dc1"]
  type        = "batch"

  group "security" {
    task "main" {
      driver = "docker"

      config {
        image           = var.image
        command         = "/bin/sh"
        args            = ["-c", "grep CapEff /proc/self/status | cut -f2; grep NoNewPrivs /proc/self/status | cut -f2; touch /x 2>/dev/null || echo read only; id -u"]
        cap_drop        = ["all"]
        cap_add         = ["chown", "CAP_KILL"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
      }

      user = "root"

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
