/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the agent has written for the program, and the sessions. */
#pragma once

#include "nat.gen.h"
#include "translate.h"

/* The outside end under which the local end of a session is known. */
struct outside {
	ip_t address;
	port_t port; /* 0: the remote end pings, and its identifier is not translated */
	bool_t endpoint_independent;
	bool_t hairpins; /* the remote end is an outside address as well */
	__u32 reserved;
};

#define SESSION_DATA struct outside
#include "session.h"
#include "tcp.h"

/* A row of `sources`. */
struct source {
	ip_t first;
	__u32 addresses;
	__u16 first_port; /* host order */
	__u16 ports;
	bool_t endpoint_independent;
	__u8 reserved[3];
};

/* Of a whole address port and protocol are 0. */
struct forward_key {
	ip_t address;
	port_t port;
	protocol_t protocol;
	__u8 reserved[5];
};

struct inside_end {
	ip_t address;
	port_t port; /* 0: that of the packet */
	__u16 reserved;
};

/* The address to be replaced: the sender's of what arrived INSIDE, the receiver's of what arrived
 * OUTSIDE. */
struct floating_key {
	ip_t address;
	__u32 arrived;
	__u32 reserved;
};

/* RFC 6296. */
struct new_prefix {
	ip_t prefix;
	__u16 adjustment; /* ones' complement, host order */
	__u8 length;
	__u8 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NAT_SOURCES_MAX);
	__type(key, prefix_t);
	__type(value, struct source);
} sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1); /* nat.ts says how many */
	__type(key, struct forward_key);
	__type(value, struct inside_end);
} forwards SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * NAT_FLOATING_MAX);
	__type(key, struct floating_key);
	__type(value, ip_t);
} floating SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NAT_PREFIXES_MAX);
	__type(key, prefix_t);
	__type(value, struct new_prefix);
} prefixes_in SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NAT_PREFIXES_MAX);
	__type(key, prefix_t);
	__type(value, struct new_prefix);
} prefixes_out SEC(".maps");

/* All outside addresses but those of prefixes. Pools have at most 256. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 256 * NAT_SOURCES_MAX + NAT_FORWARDS_MAX + NAT_FLOATING_MAX);
	__type(key, ip_t);
	__type(value, __u8);
} outside_ips SEC(".maps");

/* The MAC address under which the inside reaches outside addresses that lie inside again. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, mac_t);
} identity SEC(".maps");

/* What a packet's way keeps in memory; one for each CPU, as none is left halfway. */
struct scratch {
	struct packet packet;
	struct packet quoted;
	ip_t source; /* as it came */
	ip_t destination;
	union session_key key;	 /* as seen from inside */
	union session_key claim; /* as seen from outside */
	struct source rule;
	struct endpoint to;
	bool hairpins;
	__u32 gateway; /* that keeps the session: see gateways.h */
	__s32 led;     /* how another host has led it here: enum leading; negative: none has */
};

#include "scratch.h"

static __always_inline bool is_outside_ip(const ip_t *address)
{
	return bpf_map_lookup_elem(&outside_ips, address);
}

/* The row for an inside address; a row for IPv6 does not mean IPv4. */
static __always_inline const struct source *lookup_source(const ip_t *address)
{
	prefix_t key = {.length = 128, .address = *address};
	const struct source *source = bpf_map_lookup_elem(&sources, &key);

	return source && ip_is_ipv4(&source->first) == ip_is_ipv4(address) ? source : NULL;
}

/* Where a packet to an outside end is led. */
static __always_inline const struct inside_end *
lookup_port_forward(const ip_t *address, port_t port, protocol_t protocol)
{
	struct forward_key key = {.address = *address, .port = port, .protocol = protocol};

	return bpf_map_lookup_elem(&forwards, &key);
}
