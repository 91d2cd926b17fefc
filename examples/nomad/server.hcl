# A server. It schedules and runs no tasks, so it needs neither the plugin nor an engine.
#
#   nomad agent -config server.hcl

data_dir  = "/opt/nomad/data"
bind_addr = "0.0.0.0"

server {
  enabled = true

  # One server is enough to begin with, and its loss is the loss of the cluster's state: use three or
  # five in earnest, each with this number.
  bootstrap_expect = 1
}
