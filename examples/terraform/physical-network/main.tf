# A network of workloads whose way out is a VLAN of the physical network, on every host by the host's own device.
#
#                 edge-1                                            edge-2
#   +----------------------------------+            +----------------------------------+
#   |   [ appliance ]   [ app1 ]       |            |             [ app2 ]             |
#   |     200 |  | 100      |          |            |                |                 |
#   |         |  +------- app =========|== VXLAN ===|============== app                |
#   |         |             |          |            |                |                 |
#   |         |    < gateway-edge-1 >  |            |       < gateway-edge-2 >         |
#   |         |             |          |            |                |                 |
#   |         |   < translator-edge-1 >|            |      < translator-edge-2 >       |
#   |         |             |          |            |                |                 |
#   |         +----------- wan         |            |               wan                |
#   +--------------------- eth1 -------+            +-------------- eth1 --------------+
#                           |                                        |
#        -------------------+------------ switch, VLAN 42 -----------+------------
#                                             |
#                            router of the provider, and the Internet
#
#   app   VNI 100   10.0.1.0/24      fd00:1::/64
#   wan   VLAN 42   203.0.113.0/24   2001:db8:1::/64    the provider's router is .254 and ::fe
#
# The appliance is one device in both networks: it speaks to app by tag 100 and to wan by tag 200, which mean nothing beyond its port.
#
# The gateways are one to the workloads: the same addresses, the same MAC. Outside each host has addresses of its own, as switches learn each MAC at one place
# only. What a workload sends leaves by its own host, as an address of that host. A card that filters addresses must let all in: `ip link set eth1 promisc on`.

terraform {
  required_providers {
    inkev = { source = "inkev/inkev" }
  }
}

variable "hosts" {
  description = "Each host's agent. The default is the lab's, as `npm run lab -- up --hosts 2` starts it; its hosts have no device eth1 before you give them one."
  type        = map(object({ endpoint = string }))
  default = {
    edge-1 = { endpoint = "unix:///run/inkev/lab/edge-1/agent.sock" }
    edge-2 = { endpoint = "unix:///run/inkev/lab/edge-2/agent.sock" }
  }
}

provider "inkev" {
  hosts = var.hosts
}

locals {
  outside = {
    edge-1 = { router4 = "203.0.113.11", router6 = "2001:db8:1::11", shared4 = "203.0.113.21", shared6 = "2001:db8:1::21" }
    edge-2 = { router4 = "203.0.113.12", router6 = "2001:db8:1::12", shared4 = "203.0.113.22", shared6 = "2001:db8:1::22" }
  }
}

resource "inkev_network" "app" {
  name  = "app"
  vni   = 100
  hosts = keys(local.outside)
  subnets = {
    v4 = { cidr = "10.0.1.0/24" }
    v6 = { cidr = "fd00:1::/64" }
  }
}

resource "inkev_network" "wan" {
  name  = "wan"
  hosts = keys(local.outside)
  physical = {
    edge-1 = { interface = "eth1", vlan = 42 }
    edge-2 = { interface = "eth1", vlan = 42 }
  }
  subnets = {
    v4 = { cidr = "203.0.113.0/24", gateway = "203.0.113.254" }
    v6 = { cidr = "2001:db8:1::/64", gateway = "2001:db8:1::fe" }
  }
}

resource "inkev_function" "gateway" {
  for_each = local.outside

  name  = "gateway-${each.key}"
  hosts = [each.key]
  router = {
    interfaces = {
      app = { address = "10.0.1.1/24", ipv6_address = "fd00:1::1/64", mac = "02:00:00:00:01:01" }
      wan = { address = "${each.value.router4}/24", ipv6_address = "${each.value.router6}/64" }
    }
    routes = {
      v4 = { destination = "0.0.0.0/0", via = "203.0.113.254" }
      v6 = { destination = "::/0", via = "2001:db8:1::fe" }
    }
  }
}

resource "inkev_function" "translator" {
  for_each = local.outside

  name  = "translator-${each.key}"
  hosts = [each.key]
  nat = {
    sources = {
      v4 = { source = "10.0.1.0/24", pool = "${each.value.shared4}/32" }
      v6 = { source = "fd00:1::/64", pool = "${each.value.shared6}/128" }
    }
  }
}

resource "inkev_stitch" "app" {
  for_each = local.outside

  name  = "app-${each.key}"
  hosts = [each.key]
  a     = { network = inkev_network.app.name }
  b     = { function = inkev_function.gateway[each.key].name, port = "app" }
}

resource "inkev_stitch" "translator" {
  for_each = local.outside

  name  = "translator-${each.key}"
  hosts = [each.key]
  a     = { function = inkev_function.gateway[each.key].name, port = "wan" }
  b     = { function = inkev_function.translator[each.key].name, port = "inside" }
}

resource "inkev_stitch" "wan" {
  for_each = local.outside

  name  = "wan-${each.key}"
  hosts = [each.key]
  a     = { function = inkev_function.translator[each.key].name, port = "outside" }
  b     = { network = inkev_network.wan.name }
}

resource "inkev_port" "app" {
  for_each = {
    app1 = { host = "edge-1", addresses = ["10.0.1.11", "fd00:1::11"] }
    app2 = { host = "edge-2", addresses = ["10.0.1.12", "fd00:1::12"] }
  }

  name         = each.key
  network      = inkev_network.app.name
  host         = each.value.host
  netns        = each.key
  create_netns = true
  ip_addresses = each.value.addresses
}

resource "inkev_port" "appliance" {
  name         = "appliance"
  host         = "edge-1"
  netns        = "appliance"
  create_netns = true
  vlans = {
    "100" = { network = inkev_network.app.name, ip_addresses = ["10.0.1.100", "fd00:1::100"] }
    "200" = { network = inkev_network.wan.name, ip_addresses = ["203.0.113.100", "2001:db8:1::100"] }
  }
}
