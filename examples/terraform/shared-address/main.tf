# One public address for the workloads of all hosts. Two hosts are its gateways: each gives a share of its ports to sessions, and knows
# whose the others are.
#
#         edge-1                     edge-2                     edge-3
#   +------------------+       +------------------+       +------------------+
#   |     [ app1 ]     |       |     [ app2 ]     |       |     [ app3 ]     |
#   |        |         |       |        |         |       |        |         |
#   |     private -----+-------+---- private -----+-------+---- private      |
#   |        |         |       |        |         |       |        |         |
#   |   < gateway >    |       |   < gateway >    |       |   < gateway >    |
#   |        | inside  |       |        | inside  |       |        | inside  |
#   |  < translator >  |       |  < translator >  |       |  < translator >  |
#   |    1024-32767    |       |   32768-65535    |       |                  |
#   |        | outside |       |        | outside |       |        | outside |
#   |     public ------+-------+---- public ------+-------+---- public       |
#   |                  |       |                  |       |        |         |
#   |                  |       |                  |       |    [ visitor ]   |
#   +------------------+       +------------------+       +------------------+
#
#   private   VNI 100   10.0.1.0/24      fd00:1::/64
#   public    VNI 200   203.0.113.0/24   2001:db8:1::/64
#
#   all of private   as  203.0.113.2 and 2001:db8:1::2   when they go out
#   app3, port 80    at  203.0.113.2:8080
#
# What app1 and app2 send goes out from their own hosts; what app3 sends, from one of those two.

terraform {
  required_providers {
    inkev = { source = "inkev/inkev" }
  }
}

variable "hosts" {
  description = "Each host's agent. The default is the lab's, as `npm run lab -- up --hosts 3` starts it."
  type        = map(object({ endpoint = string }))
  default = {
    edge-1 = { endpoint = "unix:///run/inkev/lab/edge-1/agent.sock" }
    edge-2 = { endpoint = "unix:///run/inkev/lab/edge-2/agent.sock" }
    edge-3 = { endpoint = "unix:///run/inkev/lab/edge-3/agent.sock" }
  }
}

variable "gateways" {
  description = "The hosts that keep sessions, and their shares of the outside ports."
  type        = map(object({ ports = string }))
  default = {
    edge-1 = { ports = "1024-32767" }
    edge-2 = { ports = "32768-65535" }
  }
}

provider "inkev" {
  hosts = var.hosts
}

locals {
  networks = {
    private = { vni = 100, v4 = "10.0.1.0/24", v6 = "fd00:1::/64" }
    public  = { vni = 200, v4 = "203.0.113.0/24", v6 = "2001:db8:1::/64" }
  }
  ports = {
    app1    = { host = "edge-1", network = "private", addresses = ["10.0.1.11", "fd00:1::11"] }
    app2    = { host = "edge-2", network = "private", addresses = ["10.0.1.12", "fd00:1::12"] }
    app3    = { host = "edge-3", network = "private", addresses = ["10.0.1.13", "fd00:1::13"] }
    visitor = { host = "edge-3", network = "public", addresses = ["203.0.113.99", "2001:db8:1::99"] }
  }
}

resource "inkev_network" "all" {
  for_each = local.networks
  name     = each.key
  vni      = each.value.vni
  hosts    = keys(var.hosts)
  subnets = {
    v4 = { cidr = each.value.v4 }
    v6 = { cidr = each.value.v6 }
  }
}

resource "inkev_function" "gateway" {
  name = "gateway"
  router = {
    interfaces = {
      private = { address = "10.0.1.1/24", ipv6_address = "fd00:1::1/64" }
      public  = { address = "203.0.113.1/24", ipv6_address = "2001:db8:1::1/64" }
    }
  }
}

resource "inkev_function" "translator" {
  name = "translator"
  nat = {
    sources = {
      v4 = { source = "10.0.1.0/24", pool = "203.0.113.2/32" }
      v6 = { source = "fd00:1::/64", pool = "2001:db8:1::2/128" }
    }
    forwards = {
      app4 = { address = "203.0.113.2", protocol = "tcp", ports = "8080", to_address = "10.0.1.13", to_port = 80 }
      app6 = { address = "2001:db8:1::2", protocol = "tcp", ports = "8080", to_address = "fd00:1::13", to_port = 80 }
    }
    gateways = var.gateways
  }
}

resource "inkev_stitch" "gateway_private" {
  name = "gateway-private"
  a    = { function = inkev_function.gateway.name, port = "private" }
  b    = { network = inkev_network.all["private"].name }
}

resource "inkev_stitch" "gateway_translator" {
  name = "gateway-translator"
  a    = { function = inkev_function.gateway.name, port = "public" }
  b    = { function = inkev_function.translator.name, port = "inside" }
}

resource "inkev_stitch" "translator_public" {
  name = "translator-public"
  a    = { function = inkev_function.translator.name, port = "outside" }
  b    = { network = inkev_network.all["public"].name }
}

resource "inkev_port" "all" {
  for_each     = local.ports
  name         = each.key
  network      = inkev_network.all[each.value.network].name
  host         = each.value.host
  netns        = each.key
  create_netns = true
  ip_addresses = each.value.addresses
}
