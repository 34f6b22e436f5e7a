# The whole of a tenant on three hosts: a web tier behind one public address, a data tier that only the web tier reaches, and one border to the outside.
#
#               edge-1                         edge-2                         edge-3
#   +----------------------------+  +----------------------------+  +----------------------------+
#   |           public ----------+--+---------- public ----------+--+---------- public           |
#   |             | outside      |  |              |             |  |                            |
#   |       < translator >       |  |         [ visitor ]        |  |                            |
#   |             | inside       |  |                            |  |                            |
#   |             | outside      |  |                            |  |                            |
#   |        < perimeter >       |  |                            |  |                            |
#   |             | inside       |  |                            |  |                            |
#   |          < border >        |  |                            |  |                            |
#   |             | outside      |  |                            |  |                            |
#   |         < frontend >       |  |                            |  |                            |
#   |             | inside       |  |                            |  |                            |
#   |          transit ----------+--+---------- transit ---------+--+---------- transit          |
#   |             |              |  |              |             |  |              |             |
#   |         < gateway >        |  |         < gateway >        |  |         < gateway >        |
#   |          |       |         |  |          |       |         |  |          |       |         |
#   |         web ---- | --------+--+-------- web ---- | --------+--+-------- web      |         |
#   |          |      data ------+--+----------+----- data ------+--+----------+----- data       |
#   |     {web-rules}            |  |     {web-rules}            |  |     {web-rules} {data-rules}|
#   |          |                 |  |          |                 |  |          |       |         |
#   |       [ jobs ]             |  |       [ web1 ]             |  |       [ web2 ] [ db1 ]     |
#   +----------------------------+  +----------------------------+  +----------------------------+
#
#   public    VNI 100   203.0.113.0/24   2001:db8:1::/64   border .1, ::1
#   transit   VNI 200   10.0.0.0/24      fd00::/64         gateway .1, ::1   border .2, ::2
#   web       VNI 300   10.0.1.0/24      fd00:1::/64       gateway .1, ::1   DHCP server .2
#   data      VNI 400   10.0.2.0/24      fd00:2::/64       gateway .1, ::1
#
#   Visitors ask 203.0.113.10, port 80. The translator leads them to 10.0.9.10, which the frontend spreads over web1 and web2; their addresses stay as they are.
#   The web tier goes out as 203.0.113.2. The data tier goes nowhere, and answers the web tier on port 5432 only. IPv6 is alike.
#
# Between the tiers a packet is routed on the host where it starts, and judged on the host where it ends. What comes in from outside or goes out there passes the
# border: NAT, balancer and stitched firewall must see both directions of a session, so they are on one host. jobs has IPv4 only, and asks
# for its address: `udhcpc -i eth0`.
#
# Try `terraform apply -var 'draining=["web1"]'` while visitors come, or give `servers` a third one.

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

variable "servers" {
  description = "The web servers: on which host each is, and its number in the network."
  type        = map(object({ host = string, number = number }))
  default = {
    web1 = { host = "edge-2", number = 11 }
    web2 = { host = "edge-3", number = 12 }
  }
}

variable "draining" {
  description = "Web servers that take no new visitors, and only serve those that they have."
  type        = list(string)
  default     = []
}

provider "inkev" {
  hosts = var.hosts
}

locals {
  border_hosts = ["edge-1"]

  networks = {
    public  = { vni = 100, v4 = "203.0.113.0/24", v6 = "2001:db8:1::/64" }
    transit = { vni = 200, v4 = "10.0.0.0/24", v6 = "fd00::/64" }
    web     = { vni = 300, v4 = "10.0.1.0/24", v6 = "fd00:1::/64" }
    data    = { vni = 400, v4 = "10.0.2.0/24", v6 = "fd00:2::/64" }
  }
  tiers = { for name in ["web", "data"] : name => local.networks[name] }

  # The keys are those of a network's subnets.
  families = {
    v4 = {
      any     = "0.0.0.0/0"
      service = "203.0.113.10" # what visitors ask for
      virtual = "10.0.9.10"    # what that is inside
      shared  = "203.0.113.2"  # what all who go out have in common
      gateway = "10.0.0.1"
      border  = "10.0.0.2"
      length  = 32
    }
    v6 = {
      any     = "::/0"
      service = "2001:db8:1::10"
      virtual = "fd00:9::10"
      shared  = "2001:db8:1::2"
      gateway = "fd00::1"
      border  = "fd00::2"
      length  = 128
    }
  }
}

resource "inkev_network" "this" {
  for_each = local.networks

  name  = each.key
  vni   = each.value.vni
  hosts = keys(var.hosts)
  subnets = {
    v4 = { cidr = each.value.v4 }
    v6 = { cidr = each.value.v6 }
  }
}

# Routing between the tiers, on every host.

resource "inkev_function" "gateway" {
  name = "gateway"
  router = {
    interfaces = { for name in ["transit", "web", "data"] : name => {
      address      = "${cidrhost(local.networks[name].v4, 1)}/24"
      ipv6_address = "${cidrhost(local.networks[name].v6, 1)}/64"
    } }
    routes = { for name, family in local.families : name => { destination = family.any, via = family.border } }
  }
}

resource "inkev_stitch" "gateway" {
  for_each = toset(["transit", "web", "data"])

  name = "gateway-${each.key}"
  a    = { function = inkev_function.gateway.name, port = each.key }
  b    = { network = inkev_network.this[each.key].name }
}

resource "inkev_function" "addresses" {
  name = "addresses"
  dhcp = {
    address = "${cidrhost(local.networks.web.v4, 2)}/24"
    gateway = cidrhost(local.networks.web.v4, 1)
    domain  = "web.example"
  }
}

resource "inkev_stitch" "addresses" {
  name = "addresses-web"
  a    = { function = inkev_function.addresses.name, port = "network" }
  b    = { network = inkev_network.this["web"].name }
}

# The border, on one host.

resource "inkev_function" "frontend" {
  name  = "frontend"
  hosts = local.border_hosts
  load_balancer = {
    services = { for name, family in local.families : name => { address = family.virtual, port = 80 } }
    backends = merge([for name, family in local.families : {
      for server, place in var.servers : "${server}-${name}" => {
        service = name
        address = cidrhost(local.networks.web[name], place.number)
        port    = 8080
        drain   = contains(var.draining, server)
      }
    }]...)
  }
}

resource "inkev_function" "border" {
  name  = "border"
  hosts = local.border_hosts
  router = {
    interfaces = {
      transit = { address = "${local.families.v4.border}/24", ipv6_address = "${local.families.v6.border}/64" }
      public  = { address = "203.0.113.1/24", ipv6_address = "2001:db8:1::1/64" }
    }
    routes = merge([for name, family in local.families : merge(
      { for tier, network in local.tiers : "${tier}-${name}" => { destination = network[name], via = family.gateway } },
      { "service-${name}" = { destination = "${family.virtual}/${family.length}", via = family.gateway } }
    )]...)
  }
}

resource "inkev_function" "perimeter" {
  name  = "perimeter"
  hosts = local.border_hosts
  firewall = {
    default_ingress = "reject"
    rules = { for name, family in local.families : "service-${name}" => {
      priority    = 10
      direction   = "ingress"
      protocol    = "tcp"
      destination = "${family.virtual}/${family.length}"
      ports       = "80"
    } }
  }
}

resource "inkev_function" "translator" {
  name  = "translator"
  hosts = local.border_hosts
  nat = {
    sources = { for name, family in local.families : name => {
      source = local.networks.web[name], pool = "${family.shared}/${family.length}"
    } }
    forwards = { for name, family in local.families : name => {
      address = family.service, protocol = "tcp", ports = "80", to_address = family.virtual, to_port = 80
    } }
  }
}

resource "inkev_stitch" "border" {
  for_each = {
    translator-public = {
      a = { function = inkev_function.translator.name, port = "outside" }
      b = { network = inkev_network.this["public"].name }
    }
    perimeter-translator = {
      a = { function = inkev_function.perimeter.name, port = "outside" }
      b = { function = inkev_function.translator.name, port = "inside" }
    }
    border-perimeter = {
      a = { function = inkev_function.border.name, port = "public" }
      b = { function = inkev_function.perimeter.name, port = "inside" }
    }
    border-frontend = {
      a = { function = inkev_function.border.name, port = "transit" }
      b = { function = inkev_function.frontend.name, port = "outside" }
    }
    frontend-transit = {
      a = { function = inkev_function.frontend.name, port = "inside" }
      b = { network = inkev_network.this["transit"].name }
    }
  }

  name  = each.key
  hosts = local.border_hosts
  a     = each.value.a
  b     = each.value.b
}

# Who may speak to whom.

resource "inkev_function" "rules" {
  for_each = {
    web = {
      default_egress = "allow"
      rules = {
        http  = { priority = 10, direction = "ingress", protocol = "tcp", ports = "8080" }
        ping  = { priority = 20, direction = "ingress", protocol = "icmp", icmp_type = 8 }
        ping6 = { priority = 20, direction = "ingress", protocol = "icmpv6", icmp_type = 128 }
      }
    }
    data = {
      default_egress = "reject"
      rules = { for name in keys(local.families) : "postgres-${name}" => {
        priority = 10, direction = "ingress", protocol = "tcp", ports = "5432", source = local.networks.web[name]
      } }
    }
  }

  name = "${each.key}-rules"
  firewall = {
    default_ingress = "reject"
    default_egress  = each.value.default_egress
    rules           = each.value.rules
  }
}

# The workloads.

locals {
  workloads = merge(
    { for name, place in var.servers : name => merge(place, { tier = "web", asks = false }) },
    {
      jobs = { host = "edge-1", number = 31, tier = "web", asks = true }
      db1  = { host = "edge-3", number = 11, tier = "data", asks = false }
    }
  )
}

resource "inkev_port" "workload" {
  for_each = local.workloads

  name                = each.key
  network             = inkev_network.this[each.value.tier].name
  host                = each.value.host
  netns               = each.key
  create_netns        = true
  ip_addresses        = [for name in each.value.asks ? ["v4"] : ["v4", "v6"] : cidrhost(local.tiers[each.value.tier][name], each.value.number)]
  configure_addresses = !each.value.asks
  pin_addresses       = true
  chain               = [inkev_function.rules[each.value.tier].name]
}

resource "inkev_port" "visitor" {
  name         = "visitor"
  network      = inkev_network.this["public"].name
  host         = "edge-2"
  netns        = "visitor"
  create_netns = true
  ip_addresses = ["203.0.113.99", "2001:db8:1::99"]
}

output "service" {
  description = "Where visitors find the service."
  value       = ["http://${local.families.v4.service}/", "http://[${local.families.v6.service}]/"]
}

output "workloads" {
  description = "The addresses of the workloads, by their names."
  value       = { for name, port in inkev_port.workload : name => port.ip_addresses }
}
