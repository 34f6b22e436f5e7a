/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Gateways: which host keeps a session, and how a packet of it gets there. */
#pragma once

#include "tables.h"
#include "arp.h"

/*
 * A frame to another gateway's MAC address is brought to its NAT by the network outside. The
 * sender's address in it is that of the router inside, which every host has alike, and which the
 * gateway puts back as the destination. A packet on its way in is then translated. One on its way
 * out is given to the router, which sends it through the NAT once more, with the next hop that is
 * right there.
 */

/* This host itself. Others are numbers from LED_ELSEWHERE on: 2 * gateway + enum leading. */
#define LED_HERE      0
#define LED_ELSEWHERE 2

enum leading {
	LED_INWARD,
	LED_OUTWARD,
};

/* How many groups of inside addresses have one gateway each. */
#define NAT_EXITS 256

struct gateways {
	mac_t macs[2 * (NAT_GATEWAYS_MAX + 1)]; /* the first two are this host's */
	__u16 count;				/* 0: sessions are kept where they begin */
	__u8 exits[NAT_EXITS];			/* gateways, by exit_of() */
	__u8 reserved[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gateways);
} gateways SEC(".maps");

struct share_key {
	__u32 length;
	port_t port;
	__u16 reserved;
};

/* The gateways of outside ports that are others'. A range of ports is at most 30 prefixes. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 30 * NAT_GATEWAYS_MAX);
	__type(key, struct share_key);
	__type(value, __u32);
} shares SEC(".maps");

/* The inside ends of forwards, where there are gateways. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1); /* nat.ts says how many */
	__type(key, struct forward_key);
	__type(value, __u8);
} forwarded SEC(".maps");

static __always_inline const struct gateways *lookup_gateways(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&gateways, &zero);
}

/* Where the sessions of an inside address are kept that are not of its own host. */
static __always_inline __u32 exit_of(const struct gateways *all, const ip_t *address)
{
	__u32 hash = address->word[0] ^ address->word[1] ^ address->word[2] ^ address->word[3];

	return 2 * all->exits[hash * 0x9e3779b1 >> 24] + LED_OUTWARD;
}

static __always_inline bool is_forwarded(const ip_t *address, port_t port, protocol_t protocol)
{
	struct forward_key key = {.address = *address, .port = port, .protocol = protocol};
	struct forward_key whole = {.address = *address};

	return bpf_map_lookup_elem(&forwarded, &key) || bpf_map_lookup_elem(&forwarded, &whole);
}

/*
 * Where the sessions of an inside end are kept, which this host does not know: at that of forwards,
 * as whoever answers there must find them; else at this host, if it has ports. Global, as are the
 * functions below: the verifier walks them once and not for every caller.
 */
__noinline __u32 gateway_of_inside(const ip_t *address, port_t port, __u32 protocol)
{
	const struct gateways *all = lookup_gateways();
	const struct source *rule;
	__u32 gateway;

	if (!address || !all || !all->count)
		return LED_HERE;
	rule = lookup_source(address);
	if ((!rule || rule->ports) && !is_forwarded(address, port, protocol))
		return LED_HERE;
	gateway = exit_of(all, address);
	return gateway < LED_ELSEWHERE ? LED_HERE : gateway;
}

/* Where the sessions of an outside end are kept. `to`: where a forward leads from there, if one
 * does. */
__noinline __u32 gateway_of_outside(const struct inside_end *to, port_t port)
{
	struct share_key key = {.length = 16, .port = port};
	const struct gateways *all = lookup_gateways();
	__u32 *share, gateway;

	if (!all || !all->count)
		return LED_HERE;
	if (to) {
		gateway = exit_of(all, &to->address) & ~LED_OUTWARD;
	} else {
		share = bpf_map_lookup_elem(&shares, &key);
		gateway = share ? 2 * *share : LED_HERE;
	}
	return gateway < LED_ELSEWHERE ? LED_HERE : gateway;
}

/* Whether a packet from inside is of another gateway, which is put into scratch. */
static __always_inline bool leads_outward(struct scratch *memory, const ip_t *address, port_t port,
					  protocol_t protocol)
{
	memory->gateway = gateway_of_inside(address, port, protocol);
	return memory->gateway;
}

/* The same of one to an outside end. What has been led here is led no further. */
static __always_inline bool leads_inward(struct scratch *memory, const ip_t *address, port_t port,
					 const struct inside_end *to)
{
	if (memory->led == LED_INWARD || (!to && !is_outside_ip(address)))
		return false;
	memory->gateway = gateway_of_outside(to, port);
	return memory->gateway;
}

/* How a frame to this address has been led here: enum leading, negative: it has not. */
static __always_inline __s32 leading_of(const mac_t *destination)
{
	const struct gateways *all = lookup_gateways();

	if (!all || !all->count)
		return -1;
	if (mac_equals(destination, &all->macs[LED_INWARD]))
		return LED_INWARD;
	return mac_equals(destination, &all->macs[LED_OUTWARD]) ? LED_OUTWARD : -1;
}

/* Whether another host has led the frame here, and how: enum leading, negative: none has. Its
 * receiver is the router inside again, then. */
static __always_inline __s32 take_led(struct __sk_buff *skb, __u32 port)
{
	struct ethernet buffer, *ethernet = read_bytes(skb, 0, &buffer, sizeof(buffer));
	mac_t macs[2];
	__s32 led;

	led = port == OUTSIDE && ethernet ? leading_of(&ethernet->destination) : -1;
	if (led < 0)
		return -1;
	macs[0] = ethernet->source;
	macs[1] = ethernet->destination;
	return bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0) ? -1 : led;
}

/* Addresses the frame, which came by `port`, to a gateway. */
static __always_inline bool lead_on(struct __sk_buff *skb, __u32 port, __u32 gateway)
{
	struct ethernet buffer, *ethernet = read_bytes(skb, 0, &buffer, sizeof(buffer));
	const struct gateways *all = lookup_gateways();
	mac_t macs[2];

	if (!all || !ethernet || gateway >= sizeof(all->macs) / sizeof(mac_t))
		return false;
	macs[0] = all->macs[gateway];
	macs[1] = port == INSIDE ? ethernet->source : ethernet->destination;
	return !bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0);
}
