/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the agent writes: services, who serves them, and which backend each slot of a service's
 * Maglev table leads to. */
#pragma once

#include "load_balancer.gen.h"
#include "graph.h"
#include "packet.h"
#include "generation.h"

/* Slots of a service's table, and how many of them are in one record of `slots`: maglev.ts,
 * image.ts. */
#define SLOTS 65537
#define ROW   256
#define ROWS  ((SLOTS + ROW - 1) / ROW)

struct service_key {
	ip_t address;
	port_t port;
	protocol_t protocol;
	__u8 reserved[5];
};

struct service {
	__u64 table; /* into members and slots: its number names what it holds */
	__u32 members;
	enum load_balancer_services_mode mode;
	bool_t by_source; /* a client's address alone chooses */
	__u16 reserved;
};

struct member_key {
	__u64 table;
	__u32 number;
	__u32 reserved;
};

/* A backend that takes new sessions. */
struct member {
	ip_t address;
	port_t port;
	mac_t mac;
	bool_t has_mac;
	__u8 out; /* with has_mac: the port behind whose network it lives */
	__u8 reserved[6];
};

struct row_key {
	__u64 table;
	__u32 row;
	__u32 reserved;
};

struct row {
	__u8 member[ROW];
};

struct backend_key {
	struct service_key service;
	ip_t address;
	port_t port;
	__u8 reserved[6];
};

/* A backend that may keep its sessions. */
struct backend {
	__u32 generation; /* the last that named it */
	bool_t draining;
	__u8 reserved[3];
};

struct virtual_address {
	mac_t mac;
	bool_t on_link; /* neighbours who ask for it are told `mac` */
	__u8 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, LOAD_BALANCER_SERVICES_MAX);
	__type(key, ip_t);
	__type(value, struct virtual_address);
} addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * LOAD_BALANCER_SERVICES_MAX);
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps");

/* This and the next hold old and new tables while one takes the place of the other. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * LOAD_BALANCER_BACKENDS_MAX);
	__type(key, struct member_key);
	__type(value, struct member);
} members SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * LOAD_BALANCER_SERVICES_MAX * ROWS);
	__type(key, struct row_key);
	__type(value, struct row);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * LOAD_BALANCER_BACKENDS_MAX);
	__type(key, struct backend_key);
	__type(value, struct backend);
} backends SEC(".maps");

static __always_inline const struct virtual_address *lookup_virtual(const ip_t *address)
{
	return bpf_map_lookup_elem(&addresses, address);
}

/* The service that a packet is for. */
static __always_inline struct service_key service_of(const struct packet *packet)
{
	struct service_key key = {
		.address = packet->destination,
		.port = packet->destination_port,
		.protocol = packet->protocol,
	};

	return key;
}

static __always_inline __u64 mix_word(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 29;
}

/* 32 bits that are the same for all packets of a session, on every host. */
static __always_inline __u32 hash_session(const struct packet *packet, bool by_source)
{
	__u64 hash = mix_word(packet->protocol, packet->source.half[0]);

	hash = mix_word(hash, packet->source.half[1]);
	if (!by_source) {
		hash = mix_word(hash, (__u64)packet->source_port << 16 | packet->destination_port);
		hash = mix_word(hash, packet->destination.half[0]);
		hash = mix_word(hash, packet->destination.half[1]);
	}
	return mix_word(hash, 0) >> 32;
}

/* Who gets the sessions of a hash; NULL if nobody takes any. */
static __always_inline const struct member *lookup_member(const struct service *service, __u32 hash)
{
	__u32 slot = (__u64)hash * SLOTS >> 32;
	struct row_key row_key = {.table = service->table, .row = slot / ROW};
	struct member_key member_key = {.table = service->table};
	const struct row *row;

	if (!service->members)
		return NULL;
	row = bpf_map_lookup_elem(&slots, &row_key);
	if (!row)
		return NULL;
	member_key.number = row->member[slot % ROW];
	return bpf_map_lookup_elem(&members, &member_key);
}
