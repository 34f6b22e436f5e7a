# Workloads that ask for their addresses: a DHCP server in the kernel of each host answers those of that host.
#
#                edge-1                               edge-2
#   +------------------------------+     +------------------------------+
#   |  [ laptop ]       [ phone ]  |     |          [ printer ]         |
#   |      |                |      |     |               |              |
#   |  {hygiene}        {hygiene}  |     |           {hygiene}          |
#   |      |                |      |     |               |              |
#   |      +---- office ----+      |     |            office            |
#   |             |  |  |          |     |            |  |  |           |
#   |      < dhcp >  |  < gateway >|     |     < dhcp >  |  < gateway > |
#   +----------------+-------------+     +---------------+--------------+
#                    |                                   |
#                    +------------- VXLAN ---------------+
#
#   office   VNI 100   10.0.1.0/24   fd00:1::/64   gateway .1, ::1   DHCP server .2
#
# The agent leaves the namespaces without addresses (configure_addresses). Try `udhcpc -i eth0` or `dhclient eth0` in one of them. IPv6
# hosts form their addresses themselves, from the gateway's advertisements, and ask the DHCP server for the rest (`dhclient -6 -S eth0`).

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

variable "domain" {
  description = "The domain that workloads are told."
  type        = string
  default     = "office.example"
}

provider "inkev" {
  hosts = var.hosts
}

resource "inkev_network" "office" {
  name  = "office"
  vni   = 100
  hosts = ["edge-1", "edge-2"]
  subnets = {
    v4 = { cidr = "10.0.1.0/24" }
    v6 = { cidr = "fd00:1::/64" }
  }
}

resource "inkev_function" "gateway" {
  name = "gateway"
  router = {
    interfaces = {
      office = { address = "10.0.1.1/24", ipv6_address = "fd00:1::1/64", autonomous = true, stateless_dhcp = true }
    }
  }
}

resource "inkev_stitch" "gateway_office" {
  a = { function = inkev_function.gateway.name, port = "office" }
  b = { network = inkev_network.office.name }
}

resource "inkev_function" "dhcp" {
  name = "dhcp"
  dhcp = {
    address     = "10.0.1.2/24"
    gateway     = "10.0.1.1"
    dns_servers = ["10.0.1.53", "fd00:1::53"]
    domain      = var.domain
    routes      = { lab = { destination = "192.0.2.0/24", via = "10.0.1.254" } }
    options     = { time = { code = 42, type = "ip", value = "10.0.1.123" } }
  }
}

resource "inkev_stitch" "dhcp_office" {
  a = { function = inkev_function.dhcp.name, port = "network" }
  b = { network = inkev_network.office.name }
}

# It needs no rule for DHCP: workloads may ask, and are answered.
resource "inkev_function" "hygiene" {
  name = "hygiene"
  firewall = {
    rules = {
      ping = { priority = 10, direction = "ingress", protocol = "icmp", icmp_type = 8 }
    }
  }
}

locals {
  workloads = {
    laptop  = { host = "edge-1", address = "10.0.1.11" }
    phone   = { host = "edge-1", address = "10.0.1.12" }
    printer = { host = "edge-2", address = "10.0.1.13" }
  }
}

resource "inkev_port" "workload" {
  for_each = local.workloads

  name                = each.key
  network             = inkev_network.office.name
  host                = each.value.host
  netns               = each.key
  create_netns        = true
  ip_addresses        = [each.value.address]
  configure_addresses = false
  chain               = [inkev_function.hygiene.name]
}
