# What must be open and what must be closed, checked at each plan and apply without a packet being sent.
#
#              edge-1
#   +-----------------------------+
#   |  [ shop ]       [ ledger ]  |        shop   --- tcp 5432 --->  ledger    must arrive
#   |     |               |       |        shop   --- tcp 22   --->  ledger    must not
#   |     |        {ledger_rules} |
#   |     |               |       |
#   |     +---- office ---+       |        office   VNI 300   10.3.0.0/24   fd00:3::/64
#   +-----------------------------+
#
# Each trace sends a described packet through a copy of the graph as the host runs it, and tells every step to its end.

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

variable "open_port" {
  description = "The port on which the ledger answers."
  type        = string
  default     = "5432"
}

provider "inkev" {
  hosts = var.hosts
}

resource "inkev_network" "office" {
  name  = "office"
  vni   = 300
  hosts = ["edge-1"]
  subnets = {
    v4 = { cidr = "10.3.0.0/24" }
    v6 = { cidr = "fd00:3::/64" }
  }
}

resource "inkev_function" "ledger_rules" {
  name  = "ledger-rules"
  hosts = ["edge-1"]
  firewall = {
    rules = {
      books = { priority = 10, direction = "ingress", protocol = "tcp", ports = var.open_port }
    }
  }
}

resource "inkev_port" "shop" {
  name         = "shop"
  network      = inkev_network.office.name
  host         = "edge-1"
  netns        = "shop"
  create_netns = true
  ip_addresses = ["10.3.0.11", "fd00:3::11"]
}

resource "inkev_port" "ledger" {
  name         = "ledger"
  network      = inkev_network.office.name
  host         = "edge-1"
  netns        = "ledger"
  create_netns = true
  ip_addresses = ["10.3.0.12", "fd00:3::12"]
  chain        = [inkev_function.ledger_rules.name]
}

locals {
  packets = {
    books_v4 = { destination = "10.3.0.12", port = 5432, arrives = true }
    books_v6 = { destination = "fd00:3::12", port = 5432, arrives = true }
    ssh_v4   = { destination = "10.3.0.12", port = 22, arrives = false }
    ssh_v6   = { destination = "fd00:3::12", port = 22, arrives = false }
  }
}

data "inkev_trace" "shop" {
  for_each = local.packets

  host = "edge-1"
  from = { port = inkev_port.shop.name }
  packet = {
    ip  = { destination = each.value.destination }
    tcp = { destination_port = each.value.port }
  }

  lifecycle {
    postcondition {
      condition     = (self.verdict == "delivered" && self.to == "ports/${inkev_port.ledger.name}") == each.value.arrives
      error_message = "${each.key} is ${self.verdict} (${coalesce(self.reason, "no reason")}) on its way to ${each.value.destination}."
    }
  }
}

output "ways" {
  description = "Where each packet has been, and what became of it there."
  value = {
    for name, trace in data.inkev_trace.shop :
    name => [for step in values(trace.steps) : join(" ", compact([step.at, step.verdict, step.to, step.reason]))]
  }
}
