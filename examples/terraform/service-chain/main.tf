# A firewall stitched between a network and its router, so that all that leaves the network passes through it; and taken out again.
#
#   inspected = true                                 inspected = false
#
#            edge-1                   edge-2                  edge-1                   edge-2
#   +--------------------+   +----------------+      +--------------------+   +----------------+
#   |  [ desk ]          |   |                |      |  [ desk ]          |   |                |
#   |     |              |   |                |      |     |              |   |                |
#   |   office           |   |                |      |   office           |   |                |
#   |     | inside       |   |                |      |     |              |   |                |
#   |  < inspector >     |   |                |      |     |              |   |                |
#   |     | outside      |   |                |      |     |              |   |                |
#   |  < gateway >       |   |    [ shop ]    |      |  < gateway >       |   |    [ shop ]    |
#   |     |              |   |       |        |      |     |              |   |       |        |
#   |   servers ---------+---+--- servers     |      |   servers ---------+---+--- servers     |
#   +--------------------+   +----------------+      +--------------------+   +----------------+
#
#   office    VNI 100   10.0.1.0/24   fd00:1::/64
#   servers   VNI 200   10.0.2.0/24   fd00:2::/64
#
# A firewall must see both directions of a session: so inspector and gateway are on one host, where in other examples each host has its own.
#
# Try `terraform apply -var inspected=false` while `ping 10.0.2.11` runs in desk: the stitches change, and no packet is lost.

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

variable "inspected" {
  description = "Whether what passes between office and gateway goes through the inspector."
  type        = bool
  default     = true
}

provider "inkev" {
  hosts = var.hosts
}

locals {
  chain_hosts = ["edge-1"]
}

resource "inkev_network" "office" {
  name  = "office"
  vni   = 100
  hosts = local.chain_hosts
  subnets = {
    v4 = { cidr = "10.0.1.0/24" }
    v6 = { cidr = "fd00:1::/64" }
  }
}

resource "inkev_network" "servers" {
  name  = "servers"
  vni   = 200
  hosts = ["edge-1", "edge-2"]
  subnets = {
    v4 = { cidr = "10.0.2.0/24" }
    v6 = { cidr = "fd00:2::/64" }
  }
}

resource "inkev_function" "inspector" {
  name  = "inspector"
  hosts = local.chain_hosts
  firewall = {
    default_egress = "reject"
    rules = {
      web   = { priority = 10, direction = "egress", protocol = "tcp", ports = "80" }
      ping  = { priority = 20, direction = "egress", protocol = "icmp", icmp_type = 8 }
      ping6 = { priority = 20, direction = "egress", protocol = "icmpv6", icmp_type = 128 }
    }
  }
}

resource "inkev_function" "gateway" {
  name  = "gateway"
  hosts = local.chain_hosts
  router = {
    interfaces = {
      office  = { address = "10.0.1.1/24", ipv6_address = "fd00:1::1/64" }
      servers = { address = "10.0.2.1/24", ipv6_address = "fd00:2::1/64" }
    }
  }
}

resource "inkev_stitch" "inspector_office" {
  count = var.inspected ? 1 : 0

  name  = "inspector-office"
  hosts = local.chain_hosts
  a     = { function = inkev_function.inspector.name, port = "inside" }
  b     = { network = inkev_network.office.name }

  # It goes only after the gateway was stitched past the inspector: until then it carries traffic.
  lifecycle {
    create_before_destroy = true
  }
}

resource "inkev_stitch" "gateway_office" {
  name  = "gateway-office"
  hosts = local.chain_hosts
  a     = { function = inkev_function.gateway.name, port = "office" }
  b = {
    function = var.inspected ? inkev_function.inspector.name : null
    port     = var.inspected ? "outside" : null
    network  = var.inspected ? null : inkev_network.office.name
  }

  depends_on = [inkev_stitch.inspector_office]
}

resource "inkev_stitch" "gateway_servers" {
  name  = "gateway-servers"
  hosts = local.chain_hosts
  a     = { function = inkev_function.gateway.name, port = "servers" }
  b     = { network = inkev_network.servers.name }
}

resource "inkev_port" "desk" {
  name         = "desk"
  network      = inkev_network.office.name
  host         = "edge-1"
  netns        = "desk"
  create_netns = true
  ip_addresses = ["10.0.1.11", "fd00:1::11"]
}

resource "inkev_port" "shop" {
  name         = "shop"
  network      = inkev_network.servers.name
  host         = "edge-2"
  netns        = "shop"
  create_netns = true
  ip_addresses = ["10.0.2.11", "fd00:2::11"]
}
