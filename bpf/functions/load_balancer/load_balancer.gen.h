/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Generated from load_balancer.ts: its counters, ports and configuration. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "types.h"
#include "core.gen.h"

/* Drop reasons and events; the road's own come before them. */
enum load_balancer_counter {
	/* Sessions that were given a backend. */
	LOAD_BALANCER_SESSIONS_OPENED = CORE_COUNTERS,
	/* Sessions that were given another backend, as theirs had been taken away. */
	LOAD_BALANCER_SESSIONS_MOVED,
	/* Packets to a virtual address at a port that no service has: refused with an answer. */
	LOAD_BALANCER_NO_SERVICE,
	/*
	 * Packets to a service none of whose backends takes new sessions: refused with an answer.
	 */
	LOAD_BALANCER_NO_BACKEND,
	/*
	 * Packets to a backend that another session of the same client already reaches from the
	 * same port.
	 */
	LOAD_BALANCER_CLASH,
	/* ICMP errors to a virtual address that belong to no session. */
	LOAD_BALANCER_NO_SESSION,
	/* Fragments to a virtual address whose first fragment was not seen before, or overlaps. */
	LOAD_BALANCER_FRAGMENT,
	/*
	 * Pings, ARP requests and neighbour solicitations for virtual addresses that were answered.
	 */
	LOAD_BALANCER_ANSWERED,
	/* ICMP errors that were brought to the end that they concern. */
	LOAD_BALANCER_ERRORS_TRANSLATED,
};
#define COUNTERS_MAX (CORE_COUNTERS + 9)

#define LOAD_BALANCER_PORT_INSIDE  0
#define LOAD_BALANCER_PORT_OUTSIDE 1

#define LOAD_BALANCER_SERVICES_MAX      256
#define LOAD_BALANCER_BACKENDS_MAX      4096
#define LOAD_BALANCER_HEALTH_CHECKS_MAX 256
#define LOAD_BALANCER_PROBE_PORTS_MAX   256

/* Transport protocol. */
enum load_balancer_services_protocol {
	LOAD_BALANCER_SERVICES_PROTOCOL_TCP,
	LOAD_BALANCER_SERVICES_PROTOCOL_UDP,
} __attribute__((packed));

/*
 * How backends get packets: `nat` puts their address and port in the place of the virtual ones, and
 * the virtual ones into replies; `direct` changes only the MAC, and backends that have the virtual
 * address themselves answer clients directly.
 */
enum load_balancer_services_mode {
	LOAD_BALANCER_SERVICES_MODE_NAT,
	LOAD_BALANCER_SERVICES_MODE_DIRECT,
} __attribute__((packed));

struct load_balancer_config {
	/* Silence after which an established TCP session is forgotten. */
	duration_t tcp_established_timeout;
	/* Silence after which a TCP session that opens, or is closed, is forgotten. */
	duration_t tcp_transient_timeout;
	/* Silence after which a UDP session is forgotten. */
	duration_t udp_timeout;
	/* Silence after which a ping is forgotten. */
	duration_t icmp_timeout;
	/* Silence after which a session of another protocol, SCTP included, is forgotten. */
	duration_t other_timeout;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct load_balancer_config);
} config SEC(".maps");

/* This instance's configuration; never NULL, though the verifier wants to see it checked. */
static __always_inline const struct load_balancer_config *lookup_config(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}
