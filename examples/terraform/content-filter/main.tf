# A filter that looks into what leaves an office: it refuses names and pages, keeps a copy of what is confidential, and leads what smells of
# malware aside. The graph branches on content: what is found leaves the filter by its port `matched`.
#
#                          edge-1
#   +------------------------------------------------+
#   |  [ desk ]                           [ shop ]   |
#   |     |                                  |       |
#   |   office                            servers    |
#   |     | inside                           |       |
#   |  < filter > outside ------------- < gateway >  |
#   |     | matched                                  |
#   |   evidence                                     |
#   |     |                                          |
#   |  [ sensor ]                                    |
#   +------------------------------------------------+
#
#   office     VNI 100   10.0.1.0/24   fd00:1::/64
#   servers    VNI 200   10.0.2.0/24   fd00:2::/64
#   evidence   VNI 300   no addresses: what comes here was meant for others
#
# Try `curl http://10.0.2.11/` and `curl http://10.0.2.11/secret/plan` in desk while a web server runs in shop.

terraform {
  required_providers {
    inkev = { source = "inkev/inkev" }
  }
}

variable "hosts" {
  description = "Each host's agent. The default is the lab's, as `npm run lab -- up --hosts 1` starts it."
  type        = map(object({ endpoint = string }))
  default = {
    edge-1 = { endpoint = "unix:///run/inkev/lab/edge-1/agent.sock" }
  }
}

variable "forbidden_name" {
  description = "A DNS name that nobody in the office may ask for, nor for any name below it."
  type        = string
  default     = "lookalike-bank.example"
}

provider "inkev" {
  hosts = var.hosts
}

resource "inkev_network" "office" {
  name  = "office"
  vni   = 100
  hosts = ["edge-1"]
  subnets = {
    v4 = { cidr = "10.0.1.0/24" }
    v6 = { cidr = "fd00:1::/64" }
  }
}

resource "inkev_network" "servers" {
  name  = "servers"
  vni   = 200
  hosts = ["edge-1"]
  subnets = {
    v4 = { cidr = "10.0.2.0/24" }
    v6 = { cidr = "fd00:2::/64" }
  }
}

resource "inkev_network" "evidence" {
  name    = "evidence"
  vni     = 300
  hosts   = ["edge-1"]
  subnets = {}
}

resource "inkev_function" "filter" {
  name = "filter"
  inspect = {
    rules = {
      names   = { direction = "egress", protocol = "udp", ports = "53", action = "drop" }
      pages   = { direction = "egress", protocol = "tcp", ports = "80", action = "drop", follow = true }
      leaks   = { direction = "egress", protocol = "tcp", ports = "80", action = "mirror" }
      beacons = { direction = "egress", protocol = "udp", action = "divert" }
    }
    patterns = {
      lookalike-bank = { rule = "names", dns_name = var.forbidden_name }
      secret-pages   = { rule = "pages", text = "GET /secret/", within = 12 }
      confidential   = { rule = "leaks", text = "strictly confidential", ignore_case = true }
      beacon         = { rule = "beacons", hex = "de ad be ef", offset = 4, within = 4 }
    }
  }
}

resource "inkev_function" "gateway" {
  name = "gateway"
  router = {
    interfaces = {
      office  = { address = "10.0.1.1/24", ipv6_address = "fd00:1::1/64" }
      servers = { address = "10.0.2.1/24", ipv6_address = "fd00:2::1/64" }
    }
  }
}

resource "inkev_stitch" "filter_office" {
  name = "filter-office"
  a    = { function = inkev_function.filter.name, port = "inside" }
  b    = { network = inkev_network.office.name }
}

resource "inkev_stitch" "filter_gateway" {
  name = "filter-gateway"
  a    = { function = inkev_function.filter.name, port = "outside" }
  b    = { function = inkev_function.gateway.name, port = "office" }
}

resource "inkev_stitch" "filter_evidence" {
  name = "filter-evidence"
  a    = { function = inkev_function.filter.name, port = "matched" }
  b    = { network = inkev_network.evidence.name }
}

resource "inkev_stitch" "gateway_servers" {
  name = "gateway-servers"
  a    = { function = inkev_function.gateway.name, port = "servers" }
  b    = { network = inkev_network.servers.name }
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
  host         = "edge-1"
  netns        = "shop"
  create_netns = true
  ip_addresses = ["10.0.2.11", "fd00:2::11"]
}

resource "inkev_port" "sensor" {
  name         = "sensor"
  network      = inkev_network.evidence.name
  host         = "edge-1"
  netns        = "sensor"
  create_netns = true
}
