# A private network whose hosts share one public address, but for one that has a floating address of its own, and for one port that is forwarded.
#
#              edge-1                               edge-2
#   +---------------------------------+   +----------------------+
#   |  [ web ]  [ app ]               |   |                      |
#   |     |        |                  |   |                      |
#   |   private                       |   |                      |
#   |     |                           |   |                      |
#   |  < gateway >                    |   |                      |
#   |     | inside                    |   |                      |
#   |  < translator >                 |   |     [ visitor ]      |
#   |     | outside                   |   |          |           |
#   |   public -----------------------+---+------- public        |
#   +---------------------------------+   +----------------------+
#
#   private   VNI 100   10.0.1.0/24      fd00:1::/64
#   public    VNI 200   203.0.113.0/24   2001:db8:1::/64
#
#   web                         is  203.0.113.11 and 2001:db8:1::11   both ways
#   app, and all others inside  as  203.0.113.2  and 2001:db8:1::2    when they go out
#   app, port 80                at  203.0.113.2:8080
#
# A NAT must see both directions of a session: so translator and gateway are on one host.

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

provider "inkev" {
  hosts = var.hosts
}

locals {
  gateway_hosts = ["edge-1"]
}

resource "inkev_network" "private" {
  name  = "private"
  vni   = 100
  hosts = local.gateway_hosts
  subnets = {
    v4 = { cidr = "10.0.1.0/24" }
    v6 = { cidr = "fd00:1::/64" }
  }
}

resource "inkev_network" "public" {
  name  = "public"
  vni   = 200
  hosts = ["edge-1", "edge-2"]
  subnets = {
    v4 = { cidr = "203.0.113.0/24" }
    v6 = { cidr = "2001:db8:1::/64" }
  }
}

resource "inkev_function" "gateway" {
  name  = "gateway"
  hosts = local.gateway_hosts
  router = {
    interfaces = {
      private = { address = "10.0.1.1/24", ipv6_address = "fd00:1::1/64" }
      public  = { address = "203.0.113.1/24", ipv6_address = "2001:db8:1::1/64" }
    }
  }
}

resource "inkev_function" "translator" {
  name  = "translator"
  hosts = local.gateway_hosts
  nat = {
    sources = {
      v4 = { source = "10.0.1.0/24", pool = "203.0.113.2/32" }
      v6 = { source = "fd00:1::/64", pool = "2001:db8:1::2/128" }
    }
    floating = {
      web4 = { inside = "10.0.1.11", outside = "203.0.113.11" }
      web6 = { inside = "fd00:1::11", outside = "2001:db8:1::11" }
    }
    forwards = {
      app4 = { address = "203.0.113.2", protocol = "tcp", ports = "8080", to_address = "10.0.1.12", to_port = 80 }
      app6 = { address = "2001:db8:1::2", protocol = "tcp", ports = "8080", to_address = "fd00:1::12", to_port = 80 }
    }
  }
}

resource "inkev_stitch" "gateway_private" {
  name  = "gateway-private"
  hosts = local.gateway_hosts
  a     = { function = inkev_function.gateway.name, port = "private" }
  b     = { network = inkev_network.private.name }
}

resource "inkev_stitch" "gateway_translator" {
  name  = "gateway-translator"
  hosts = local.gateway_hosts
  a     = { function = inkev_function.gateway.name, port = "public" }
  b     = { function = inkev_function.translator.name, port = "inside" }
}

resource "inkev_stitch" "translator_public" {
  name  = "translator-public"
  hosts = local.gateway_hosts
  a     = { function = inkev_function.translator.name, port = "outside" }
  b     = { network = inkev_network.public.name }
}

resource "inkev_port" "web" {
  name         = "web"
  network      = inkev_network.private.name
  host         = "edge-1"
  netns        = "web"
  create_netns = true
  ip_addresses = ["10.0.1.11", "fd00:1::11"]
}

resource "inkev_port" "app" {
  name         = "app"
  network      = inkev_network.private.name
  host         = "edge-1"
  netns        = "app"
  create_netns = true
  ip_addresses = ["10.0.1.12", "fd00:1::12"]
}

resource "inkev_port" "visitor" {
  name         = "visitor"
  network      = inkev_network.public.name
  host         = "edge-2"
  netns        = "visitor"
  create_netns = true
  ip_addresses = ["203.0.113.99", "2001:db8:1::99"]
}
