# Two networks across two hosts, routed to each other on either host, and a database that only the web servers may talk to.
#
#                  edge-1                                    edge-2
#   +-----------------------------------+     +-----------------------------------+
#   |  [ web1 ]  [ web2 ]     [ db1 ]   |     |   [ web3 ]             [ db2 ]    |
#   |     |         |            |      |     |      |                    |       |
#   |     |         |       {db_rules}  |     |      |               {db_rules}   |
#   |     |         |            |      |     |      |                    |       |
#   |     +-- web --+            +- db -+--+--+-- web ------+             +- db   |
#   |          |                 |      |  |  |      |                    |       |
#   |          +---< gateway >---+      |  |  |      +----< gateway >-----+       |
#   +-----------------+-----------------+  |  +-----------------+-----------------+
#                     |                    |                    |
#                     +--------- VXLAN over the underlay -------+
#
#   web   VNI 100   10.0.1.0/24   fd00:1::/64   gateway .1, ::1
#   db    VNI 200   10.0.2.0/24   fd00:2::/64   gateway .1, ::1
#
# The gateway is one function with one address, which each host runs for its own workloads: no packet takes a detour to be routed.
# {db_rules} stands before each port that names it in its chain.

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

variable "db_port" {
  description = "The port on which web servers may reach a database."
  type        = number
  default     = 5432
}

provider "inkev" {
  hosts = var.hosts
}

resource "inkev_network" "web" {
  name  = "web"
  vni   = 100
  hosts = ["edge-1", "edge-2"]
  subnets = {
    v4 = { cidr = "10.0.1.0/24" }
    v6 = { cidr = "fd00:1::/64" }
  }
}

resource "inkev_network" "db" {
  name  = "db"
  vni   = 200
  hosts = ["edge-1", "edge-2"]
  subnets = {
    v4 = { cidr = "10.0.2.0/24" }
    v6 = { cidr = "fd00:2::/64" }
  }
}

resource "inkev_function" "gateway" {
  name = "gateway"
  router = {
    interfaces = {
      web = { address = "10.0.1.1/24", ipv6_address = "fd00:1::1/64" }
      db  = { address = "10.0.2.1/24", ipv6_address = "fd00:2::1/64" }
    }
  }
}

resource "inkev_stitch" "gateway_web" {
  a = { function = inkev_function.gateway.name, port = "web" }
  b = { network = inkev_network.web.name }
}

resource "inkev_stitch" "gateway_db" {
  a = { function = inkev_function.gateway.name, port = "db" }
  b = { network = inkev_network.db.name }
}

resource "inkev_function" "db_rules" {
  name = "db-rules"
  firewall = {
    default_ingress = "reject"
    rules = {
      web_v4 = { priority = 10, direction = "ingress", protocol = "tcp", source = "10.0.1.0/24", ports = tostring(var.db_port) }
      web_v6 = { priority = 10, direction = "ingress", protocol = "tcp", source = "fd00:1::/64", ports = tostring(var.db_port) }
      ping   = { priority = 20, direction = "ingress", protocol = "icmp", icmp_type = 8 }
      ping6  = { priority = 20, direction = "ingress", protocol = "icmpv6", icmp_type = 128 }
    }
  }
}

locals {
  web_servers = {
    web1 = { host = "edge-1", addresses = ["10.0.1.11", "fd00:1::11"] }
    web2 = { host = "edge-1", addresses = ["10.0.1.12", "fd00:1::12"] }
    web3 = { host = "edge-2", addresses = ["10.0.1.13", "fd00:1::13"] }
  }
  databases = {
    db1 = { host = "edge-1", addresses = ["10.0.2.11", "fd00:2::11"] }
    db2 = { host = "edge-2", addresses = ["10.0.2.12", "fd00:2::12"] }
  }
}

resource "inkev_port" "web" {
  for_each = local.web_servers

  name         = each.key
  network      = inkev_network.web.name
  host         = each.value.host
  netns        = each.key
  create_netns = true
  ip_addresses = each.value.addresses
}

resource "inkev_port" "db" {
  for_each = local.databases

  name          = each.key
  network       = inkev_network.db.name
  host          = each.value.host
  netns         = each.key
  create_netns  = true
  ip_addresses  = each.value.addresses
  chain         = [inkev_function.db_rules.name]
  pin_addresses = true
}
