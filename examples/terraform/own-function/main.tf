# Functions of your own, from C to packets, in the chains of two workloads:
#
#   quota.bpf.c     stops alice when she has exchanged too many bytes with an address
#   meter.bpf.c     measures the rate of each tenant
#   rewriter.bpf.c  replaces a text in what alice reads on the web, and what she writes there
#   tagger.bpf.c    speaks an L2 protocol of one's own between those who have it: all frames in the network are tagged
#
#                     edge-1
#   +--------------------------------------------+
#   |  [ alice ]                       [ bob ]   |
#   |   10.0.0.11                     10.0.0.12  |
#   |      |                              |      |
#   |   ( quota )                         |      |
#   |   ( meter )                     ( meter )  |
#   |   ( rewriter )                      |      |
#   |   ( tagger )                    ( tagger ) |
#   |      |                              |      |
#   |      +---------- "home" ------------+      |
#   +--------------------------------------------+
#
# Install the headers once, and compile a program as often as you change it; the next `terraform apply` puts the new
# code in the place of the old one while packets flow:
#   node bpf/build.mjs headers /usr/local/include
#   for program in quota meter rewriter tagger; do
#     clang -O2 -g -target bpf -mcpu=v3 -idirafter /usr/include/$(uname -m)-linux-gnu -c $program.bpf.c -o $program.bpf.o
#   done

terraform {
  required_providers {
    inkev = { source = "inkev/inkev" }
  }
}

variable "hosts" {
  description = "Each host's agent. The default is the lab's, as `npm run lab -- up` starts it."
  type        = map(object({ endpoint = string }))
  default = {
    edge-1 = { endpoint = "unix:///run/inkev/lab/edge-1/agent.sock" }
  }
}

provider "inkev" {
  hosts = var.hosts
}

resource "inkev_program" "own" {
  for_each = toset(["quota", "meter", "rewriter", "tagger"])
  name     = each.key
  path     = "${each.key}.bpf.o"
}

resource "inkev_function" "alice_quota" {
  name = "alice-quota"
  program = {
    name   = inkev_program.own["quota"].name
    config = { enforce = true }
    tables = {
      quotas = { rows = { "10.0.0.12" = 10000 } }
    }
  }
}

resource "inkev_function" "tenants" {
  name = "tenants"
  program = {
    name = inkev_program.own["meter"].name
    tables = {
      tenants = {
        rows = {
          "10.0.0.11/32" = 1
          "fd00::11/128" = 1
          "10.0.0.0/24"  = 2
          "fd00::/64"    = 2
        }
      }
    }
  }
}

resource "inkev_function" "courtesy" {
  name = "courtesy"
  program = {
    name   = inkev_program.own["rewriter"].name
    config = { find = "damned", put = "blamed", port = 80 }
  }
}

resource "inkev_function" "red" {
  name = "red"
  program = {
    name   = inkev_program.own["tagger"].name
    config = { colour = 7 }
  }
}

resource "inkev_network" "home" {
  name  = "home"
  vni   = 100
  hosts = ["edge-1"]
  subnets = {
    v4 = { cidr = "10.0.0.0/24" }
    v6 = { cidr = "fd00::/64" }
  }
}

resource "inkev_port" "alice" {
  name         = "alice"
  network      = inkev_network.home.name
  host         = "edge-1"
  netns        = "alice"
  create_netns = true
  ip_addresses = ["10.0.0.11", "fd00::11"]
  chain = [
    inkev_function.alice_quota.name,
    inkev_function.tenants.name,
    inkev_function.courtesy.name,
    inkev_function.red.name,
  ]
}

resource "inkev_port" "bob" {
  name         = "bob"
  network      = inkev_network.home.name
  host         = "edge-1"
  netns        = "bob"
  create_netns = true
  ip_addresses = ["10.0.0.12", "fd00::12"]
  chain        = [inkev_function.tenants.name, inkev_function.red.name]
}
