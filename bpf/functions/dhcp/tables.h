/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The server's tables: itself, its clients, the answers that the agent has prepared, and the
 * leases. */
#pragma once

#include "dhcp.gen.h"
#include "graph.h"
#include "arp.h"

#define CLIENTS_MAX 16384

/* A DHCPv4 message that every client can take (RFC 2131 2), without the headers of IP and UDP. */
#define MESSAGE_LENGTH 548

struct server {
	mac_t mac;
	__u16 reserved;
	ipv4_t ipv4;
	__u32 reserved2;
	ip_t link_local;
};

/* A client of this host. */
struct client {
	ipv4_t address;
	bool_t has_address; /* else it is told by DHCPv6 only */
	__u8 reserved[3];
};

enum answer_kind {
	ANSWER_KIND_LEASE,	  /* offers, and requests granted */
	ANSWER_KIND_INFORMATION,  /* the same without a lease time: to DHCPINFORM */
	ANSWER_KIND_REFUSAL,	  /* DHCPNAK */
	ANSWER_KIND_INFORMATION6, /* to a DHCPv6 information request */
};

/* A message up to where the client's identifier goes; zeros follow. */
struct answer {
	__u16 length;
	__u8 bytes[MESSAGE_LENGTH];
};

enum lease_state {
	LEASE_STATE_BOUND,
	LEASE_STATE_RELEASED,
	LEASE_STATE_DECLINED, /* somebody else uses the address, says the client */
} __attribute__((packed));

/* What a client was told last. */
struct lease {
	time_t_ns since;
	time_t_ns expires; /* 0 if it is not bound */
	ipv4_t address;
	enum lease_state state;
	__u8 reserved[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct server);
} server SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CLIENTS_MAX);
	__type(key, mac_t);
	__type(value, struct client);
} clients SEC(".maps");

/* A hash, in which a changed answer is replaced whole. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, enum answer_kind);
	__type(value, struct answer);
} answers SEC(".maps");

/* Filled here; the agent takes out who is no client any more. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CLIENTS_MAX);
	__type(key, mac_t);
	__type(value, struct lease);
} leases SEC(".maps");

static __always_inline const struct server *lookup_server(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&server, &zero);
}

static __always_inline void note_lease(const mac_t *mac, ipv4_t address, enum lease_state state)
{
	const struct dhcp_config *config = lookup_config();
	struct lease lease = {
		.since = bpf_ktime_get_ns(),
		.address = address,
		.state = state,
	};

	if (config && state == LEASE_STATE_BOUND)
		lease.expires = lease.since + config->lease_time;
	bpf_map_update_elem(&leases, mac, &lease, BPF_ANY);
}
