# Whatever a workload sends and gets is copied to a collector on another host, in a network of its own.
#
#               edge-1                             edge-2
#   +-------------------------------+   +------------------------+
#   |  [ client ]       [ suspect ] |   |      [ collector ]     |
#   |   10.0.0.11        10.0.0.12  |   |       192.168.0.10     |
#   |   fd00::11         fd00::12   |   |            |           |
#   |      |                |       |   |            |           |
#   |      |             < tap >----+---+----- "monitoring"      |
#   |      |                | copy  |   |        VNI 200         |
#   |      +--- "office" ---+       |   |                        |
#   |           VNI 100             |   |                        |
#   +-------------------------------+   +------------------------+
#
# After `terraform apply`, on edge-2: ip netns exec collector tcpdump -ni any
# Or without a collector: give "tap" `to = "capture"`, and on edge-1
#   curl -sN --unix-socket AGENT_SOCKET http://localhost/v1/captures/tap | wireshark -k -i -
# Try `-var watching=false`: the mirror stays, and costs next to nothing.

terraform {
  required_providers {
    inkev = { source = "inkev/inkev" }
  }
}

variable "hosts" {
  description = "Each host's agent. The default is the lab's, as `npm run lab -- up --hosts 2` starts it."
  type        = map(object({ endpoint = string }))
  default = {
    edge-1 = { endpoint = "unix:///run/inkev/lab/edge-1/agent.sock" }
    edge-2 = { endpoint = "unix:///run/inkev/lab/edge-2/agent.sock" }
  }
}

variable "watching" {
  description = "Whether copies are made."
  type        = bool
  default     = true
}

provider "inkev" {
  hosts = var.hosts
}

resource "inkev_network" "office" {
  name  = "office"
  vni   = 100
  hosts = ["edge-1"]
  subnets = {
    v4 = { cidr = "10.0.0.0/24" }
    v6 = { cidr = "fd00::/64" }
  }
}

# It knows no address, so every copy goes to all its ports.
resource "inkev_network" "monitoring" {
  name     = "monitoring"
  vni      = 200
  hosts    = ["edge-1", "edge-2"]
  learning = false
  subnets = {
    v4 = { cidr = "192.168.0.0/24" }
  }
}

resource "inkev_function" "tap" {
  name  = "tap"
  hosts = ["edge-1"]
  mirror = {
    enabled = var.watching
  }
}

resource "inkev_stitch" "tap_monitoring" {
  name  = "tap-monitoring"
  hosts = ["edge-1"]
  a     = { function = inkev_function.tap.name, port = "copy" }
  b     = { network = inkev_network.monitoring.name }
}

resource "inkev_port" "client" {
  name         = "client"
  network      = inkev_network.office.name
  host         = "edge-1"
  netns        = "client"
  create_netns = true
  ip_addresses = ["10.0.0.11", "fd00::11"]
}

resource "inkev_port" "suspect" {
  name         = "suspect"
  network      = inkev_network.office.name
  host         = "edge-1"
  netns        = "suspect"
  create_netns = true
  ip_addresses = ["10.0.0.12", "fd00::12"]
  chain        = [inkev_function.tap.name]
}

resource "inkev_port" "collector" {
  name         = "collector"
  network      = inkev_network.monitoring.name
  host         = "edge-2"
  netns        = "collector"
  create_netns = true
  ip_addresses = ["192.168.0.10"]
}
