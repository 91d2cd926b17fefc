# A service to try the commands of daily operation on: signals, commands in the container, restarts,
# an orderly end.
#
#   nomad job run operations.nomad.hcl
#   nomad alloc exec -job operations sh             # a shell in the container
#   nomad alloc exec -job operations cat /local/state
#   nomad alloc signal -s SIGUSR1 <alloc>           # rotate, reload, dump: what the program makes of it
#   nomad alloc restart <alloc>                     # a new container in the same place
#   nomad alloc logs -f -job operations
#   nomad alloc status -stats <alloc>
#   nomad job stop operations                       # SIGINT first, as below, SIGKILL 15 s later

variable "image" {
  default = "docker.io/library/busybox:1.36"
}

job "operations" {
  group "app" {
    task "app" {
      driver = "container"

      # How the program wants to be asked to stop, and how long that may take. Without kill_signal it
      # is the config's stop_signal, then the image's, then SIGTERM.
      kill_signal  = "SIGINT"
      kill_timeout = "15s"

      # Enough for load balancers to notice before the program goes.
      shutdown_delay = "1s"

      config {
        image   = var.image
        command = "/bin/sh"
        args    = ["/local/app.sh"]
      }

      template {
        destination = "local/app.sh"
        # The script is read once: a new one has to be started.
        change_mode = "restart"
        data        = <<EOF
count=0
trap 'count=$((count + 1)); echo "signal number $count"; echo $count > /local/state' USR1
trap 'echo "finishing"; exit 0' INT
echo "ready"
while true; do sleep 1 & wait; done
EOF
      }

      logs {
        max_files     = 3
        max_file_size = 10 # MB
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
