# One host, one network, two workloads: the smallest thing that carries packets.
#
#                 edge-1
#   +---------------------------------------+
#   |  [ alice ]                 [ bob ]    |
#   |   10.0.0.11                 10.0.0.12 |
#   |   fd00::11                  fd00::12  |
#   |      |                         |      |
#   |      +------- "home" ----------+      |
#   |               VNI 100                 |
#   +---------------------------------------+
#
# Each workload is a network namespace, which the host's agent creates. After `terraform apply`, on the host:
#   ip netns exec alice ping 10.0.0.12

terraform {
  required_providers {
    inkev = { source = "inkev/inkev" }
  }
}

variable "hosts" {
  description = "Each host's agent. The default is the lab's, as `npm run lab -- up` starts it."
  type        = map(object({ endpoint = string }))
  default = {
    edge-1 = { endpoint = "unix:///run/inkev/lab/edge-1/agent.sock" }
  }
}

provider "inkev" {
  hosts = var.hosts
}

resource "inkev_network" "home" {
  name  = "home"
  vni   = 100
  hosts = ["edge-1"]
  subnets = {
    v4 = { cidr = "10.0.0.0/24" }
    v6 = { cidr = "fd00::/64" }
  }
}

resource "inkev_port" "alice" {
  name         = "alice"
  network      = inkev_network.home.name
  host         = "edge-1"
  netns        = "alice"
  create_netns = true
  ip_addresses = ["10.0.0.11", "fd00::11"]
}

resource "inkev_port" "bob" {
  name         = "bob"
  network      = inkev_network.home.name
  host         = "edge-1"
  netns        = "bob"
  create_netns = true
  ip_addresses = ["10.0.0.12", "fd00::12"]
}
