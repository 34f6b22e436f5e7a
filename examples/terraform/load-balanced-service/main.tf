# A web service behind one virtual address, of either family: the balancer stands in the chain of the client's port, so a session is given its backend on
# the client's own host, and goes straight to wherever that backend is.
#
#               edge-1                                  edge-2
#   +-------------------------------+      +-------------------------------+
#   |   [ user ]        [ probe ]   |      |                               |
#   |      | inside         |       |      |                               |
#   |   < frontend >        |       |      |                               |
#   |      | outside        |       |      |                               |
#   |    users -------------+       |      |                               |
#   |      |                        |      |                               |
#   |   < gateway >                 |      |   < gateway >                 |
#   |      |                        |      |      |                        |
#   |   servers --------------------+------+-- servers                     |
#   |      |                        |      |    |        |                 |
#   |   [ web1 ]                    |      | [ web2 ] [ web3 ]             |
#   +-------------------------------+      +-------------------------------+
#
#   users     VNI 100   10.0.1.0/24   fd00:1::/64
#   servers   VNI 200   10.0.2.0/24   fd00:2::/64
#
# Nobody has the virtual addresses, 203.0.113.10 and 2001:db8:10::10: they lie beyond the gateway for the client, and never get there.
# From the port `probe` the agent asks each server for a page every second: one that fails twice gets no new sessions until it answers again.
#
# Try `terraform apply -var 'draining=["web2"]'` during a download from web2: it goes on, and new ones are served by the others.

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

variable "draining" {
  description = "Servers that take no new sessions, and only end those that they have."
  type        = list(string)
  default     = []
}

provider "inkev" {
  hosts = var.hosts
}

locals {
  hosts = ["edge-1", "edge-2"]

  servers = {
    web1 = { host = "edge-1", v4 = "10.0.2.11", v6 = "fd00:2::11" }
    web2 = { host = "edge-2", v4 = "10.0.2.12", v6 = "fd00:2::12" }
    web3 = { host = "edge-2", v4 = "10.0.2.13", v6 = "fd00:2::13" }
  }
}

resource "inkev_network" "users" {
  name  = "users"
  vni   = 100
  hosts = local.hosts
  subnets = {
    v4 = { cidr = "10.0.1.0/24" }
    v6 = { cidr = "fd00:1::/64" }
  }
}

resource "inkev_network" "servers" {
  name  = "servers"
  vni   = 200
  hosts = local.hosts
  subnets = {
    v4 = { cidr = "10.0.2.0/24" }
    v6 = { cidr = "fd00:2::/64" }
  }
}

resource "inkev_function" "gateway" {
  name  = "gateway"
  hosts = local.hosts
  router = {
    interfaces = {
      users   = { address = "10.0.1.1/24", ipv6_address = "fd00:1::1/64" }
      servers = { address = "10.0.2.1/24", ipv6_address = "fd00:2::1/64" }
    }
  }
}

resource "inkev_stitch" "gateway" {
  for_each = { users = inkev_network.users.name, servers = inkev_network.servers.name }

  name  = "gateway-${each.key}"
  hosts = local.hosts
  a     = { function = inkev_function.gateway.name, port = each.key }
  b     = { network = each.value }
}

resource "inkev_function" "frontend" {
  name  = "frontend"
  hosts = ["edge-1"]
  load_balancer = {
    services = {
      web  = { address = "203.0.113.10", port = 80 }
      web6 = { address = "2001:db8:10::10", port = 80 }
    }
    backends = merge(
      { for name, server in local.servers : name => {
        service = "web", address = server.v4, port = 8080, drain = contains(var.draining, name)
      } },
      { for name, server in local.servers : "${name}-6" => {
        service = "web6", address = server.v6, port = 8080, drain = contains(var.draining, name)
      } }
    )
    health_checks = {
      for service in ["web", "web6"] : service => {
        protocol = "http", path = "/", interval = "1s", timeout = "1s", healthy_threshold = 1, unhealthy_threshold = 2
      }
    }
    probe_ports = { edge-1 = { port = "probe" } }
  }
}

resource "inkev_port" "user" {
  name         = "user"
  network      = inkev_network.users.name
  host         = "edge-1"
  netns        = "user"
  create_netns = true
  ip_addresses = ["10.0.1.11", "fd00:1::11"]
  chain        = [inkev_function.frontend.name]
}

# In a namespace of its own, so that questions take the road that clients' packets take.
resource "inkev_port" "probe" {
  name         = "probe"
  network      = inkev_network.users.name
  host         = "edge-1"
  netns        = "probe"
  create_netns = true
  ip_addresses = ["10.0.1.250", "fd00:1::fa"]
}

resource "inkev_port" "server" {
  for_each = local.servers

  name         = each.key
  network      = inkev_network.servers.name
  host         = each.value.host
  netns        = each.key
  create_netns = true
  ip_addresses = [each.value.v4, each.value.v6]
}
