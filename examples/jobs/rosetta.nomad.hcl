# An image that exists for x86-64 only, on a Mac with Apple silicon. Rosetta translates the program
# inside the task's virtual machine.
#
#   nomad job run rosetta.nomad.hcl

variable "image" {
  description = "An image with a shell; its amd64 variant is the one that runs."
  default     = "docker.io/library/busybox:1.36"
}

job "rosetta" {
  type = "batch"

  # Every node tells what its engine can do as driver.container.feature.<name>. With the constraint
  # the job waits for a node that can; without it, it would be placed anywhere and refused there.
  constraint {
    attribute = "${attr.driver.container.feature.rosetta}"
    value     = "true"
  }

  group "report" {
    task "report" {
      driver = "container"

      config {
        image   = var.image
        command = "/bin/sh"
        args    = ["-c", "echo this is $(uname -m)"]

        # It chooses the platform linux/amd64 too, for the pull and for the container.
        rosetta = true
      }

      resources {
        cpu    = 500
        memory = 256 # a virtual machine has at least 200 MiB
      }
    }
  }
}
