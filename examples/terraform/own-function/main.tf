# A function of your own: quota.bpf.c counts the bytes that alice exchanges with each address, and stops those beyond a quota.
#
#                     edge-1
#   +--------------------------------------------+
#   |  [ alice ]                       [ bob ]   |
#   |   10.0.0.11                     10.0.0.12  |
#   |      |                              |      |
#   |   ( quota ) <- quota.bpf.o          |      |
#   |      |                              |      |
#   |      +---------- "home" ------------+      |
#   +--------------------------------------------+
#
# Install the headers once, and compile the program as often as you change it; the next `terraform apply` puts the new
# code in the place of the old one while packets flow:
#   node bpf/build.mjs headers /usr/local/include
#   clang -O2 -g -target bpf -mcpu=v3 -idirafter /usr/include/x86_64-linux-gnu -c quota.bpf.c -o quota.bpf.o

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

resource "inkev_program" "quota" {
  name = "quota"
  path = "quota.bpf.o"
}

resource "inkev_function" "alice_quota" {
  name = "alice-quota"
  program = {
    name   = inkev_program.quota.name
    config = { enforce = true }
    tables = {
      quotas = { rows = { "10.0.0.12" = 10000 } }
    }
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
  chain        = [inkev_function.alice_quota.name]
}

resource "inkev_port" "bob" {
  name         = "bob"
  network      = inkev_network.home.name
  host         = "edge-1"
  netns        = "bob"
  create_netns = true
  ip_addresses = ["10.0.0.12", "fd00::12"]
}
