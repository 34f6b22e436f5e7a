# Two tenants' workloads with a rate each, whatever the other does, and voice before all else.
#
#                              edge-1
#   +--------------------------------------------------------+
#   |  [ tenant-a ]         [ tenant-b ]         [ server ]  |
#   |   10.0.0.11            10.0.0.12            10.0.0.20  |
#   |   fd00::11             fd00::12             fd00::20   |
#   |      |                    |                    |       |
#   |   < bronze >           < bronze >              |       |
#   |      |                    |                    |       |
#   |      +------- "shared", VNI 100 ---------------+       |
#   +--------------------------------------------------------+
#
# One policer stands in the chains of both tenants; each port has buckets of its own.
#   from a tenant   20 Mbit/s; what exceeds it is dropped
#   to a tenant     40 Mbit/s; what comes near it is marked where the ends understand congestion marks, what exceeds it dropped
#   voice (EF)      1,000 packets a second for each call, either way, beside these rates
#
# After `terraform apply`, on the host: iperf3 -s in server, and in tenant-a `iperf3 -c 10.0.0.20`, with -R for the other direction.

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

resource "inkev_network" "shared" {
  name  = "shared"
  vni   = 100
  hosts = ["edge-1"]
  subnets = {
    v4 = { cidr = "10.0.0.0/24" }
    v6 = { cidr = "fd00::/64" }
  }
}

resource "inkev_function" "bronze" {
  name  = "bronze"
  hosts = ["edge-1"]
  policer = {
    limits = {
      upload   = { direction = "egress", rate = "20mbit" }
      download = { direction = "ingress", rate = "40mbit", exceed = "mark" }
      voice    = { dscp = 46, packet_rate = 1000, burst = "100ms", per = "flow" }
    }
  }
}

resource "inkev_port" "tenant" {
  for_each = {
    tenant-a = ["10.0.0.11", "fd00::11"]
    tenant-b = ["10.0.0.12", "fd00::12"]
  }

  name         = each.key
  network      = inkev_network.shared.name
  host         = "edge-1"
  netns        = each.key
  create_netns = true
  ip_addresses = each.value
  chain        = [inkev_function.bronze.name]
}

resource "inkev_port" "server" {
  name         = "server"
  network      = inkev_network.shared.name
  host         = "edge-1"
  netns        = "server"
  create_netns = true
  ip_addresses = ["10.0.0.20", "fd00::20"]
}
