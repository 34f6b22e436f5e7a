/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A mirror: packets pass, and copies of those that are chosen leave by another port or are
 * captured. */

#include "mirror.gen.h"
#include "graph.h"
#include "flood.h"
#include "capture.h"
#include "packet.h"

static __always_inline bool begins_alike(__be64 a, __be64 b, __u32 bits)
{
	return !bits || !(bpf_be64_to_cpu(a ^ b) >> (64 - bits));
}

/* The shortest prefix of mapped addresses: see prefix_t. */
#define MAPPED_BITS 96

static __always_inline bool is_within(const ip_t *ip, const prefix_t *prefix)
{
	__u32 length = prefix->length;
	ip_t start = prefix->address;

	if (length < MAPPED_BITS && ip_is_ipv4(ip))
		return false;
	return begins_alike(ip->half[0], start.half[0], length < 64 ? length : 64) &&
	       begins_alike(ip->half[1], start.half[1], length < 64 ? 0 : length - 64);
}

static __always_inline bool has_chosen_headers(const struct mirror_config *config,
					       const struct packet *packet, __u32 port)
{
	const ip_t *local = port == INSIDE ? &packet->source : &packet->destination;
	const ip_t *remote = port == INSIDE ? &packet->destination : &packet->source;

	if (config->has_local && !is_within(local, &config->local))
		return false;
	if (config->has_remote && !is_within(remote, &config->remote))
		return false;
	if (config->has_protocol && packet->protocol != config->protocol)
		return false;
	return !config->has_port || packet->source_port == config->port ||
	       packet->destination_port == config->port;
}

/* Whether the headers are among the chosen. What they do not say, as frames that are not IP, is
 * chosen only where nothing is asked of them. */
static __noinline bool is_chosen(struct __sk_buff *skb, __u32 port)
{
	const struct mirror_config *config = lookup_config();
	struct packet packet;

	if (!config)
		return false;
	if (config->direction == MIRROR_DIRECTION_INGRESS && port == INSIDE)
		return false;
	if (config->direction == MIRROR_DIRECTION_EGRESS && port == OUTSIDE)
		return false;
	if (!config->has_local && !config->has_remote && !config->has_protocol && !config->has_port)
		return true;
	return parse_packet_apart(skb, &packet) && packet.family &&
	       has_chosen_headers(config, &packet, port);
}

static __noinline int copy(struct __sk_buff *skb, __u32 port)
{
	const struct mirror_config *config = lookup_config();

	if (config && config->to == MIRROR_TO_CAPTURE) {
		count(MIRROR_CHOSEN);
		return write_down(skb, port, config->snap_length);
	}
	if (send_copy(skb, MIRROR_PORT_COPY))
		count(MIRROR_CHOSEN);
	return 0;
}

/* Whether copies of this packet's kind would get anywhere. */
static __always_inline bool is_on(const struct mirror_config *config)
{
	return config && config->enabled && (config->to == MIRROR_TO_PORT || is_captured());
}

INKEV_FUNCTION(mirror, skb)
{
	const struct mirror_config *config = lookup_config();
	__u32 port = arrived_at(skb);

	if (unlikely(port == MIRROR_PORT_COPY))
		return drop(skb, MIRROR_CAME_BACK);
	port &= 1;
	if (is_on(config) && (config->one_in <= 1 || bpf_get_prandom_u32() % config->one_in == 0) &&
	    is_chosen(skb, port))
		copy(skb, port);
	return pass_through(skb, port);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
