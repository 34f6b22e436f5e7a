// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The layer 2 of one network on one host: a frame goes where its destination address is or, where
// that is not known, to all.
#include "bridge.gen.h"
#include "stations.h"
#include "neighbours.h"
#include "flood_list.h"

static __always_inline int send_to(struct __sk_buff *skb, struct location to, vni_t vni)
{
	union attachment attachment = {.target = to.target, .kind = ATTACHED_WORKLOAD};

	if (to.place == PLACE_PEER) {
		skb->cb[3] = to.target;
		skb->cb[4] = vni;
		return forward(skb, BRIDGE_PORT_OVERLAY);
	}
	if (to.place == PLACE_PORT)
		attachment = stitch_at(to.target);
	return leave(skb, attachment);
}

/* What stays where it is, and what came from another host and would go to one: that host has sent
 * its own copy. */
static __always_inline bool is_filtered(struct location origin, struct location to)
{
	return same_location(origin, to) || (origin.place == PLACE_PEER && to.place == PLACE_PEER);
}

/* A broadcast or multicast: for all, unless it asks what is known here. */
static __always_inline int send_multicast(struct __sk_buff *skb, const mac_t *destination,
					  struct location origin,
					  const struct bridge_config *config)
{
	if (mac_is_reserved(destination))
		return drop(skb, BRIDGE_RESERVED);
	if (!config->suppression || !answer_discovery(skb))
		return send_to_all(skb, origin, config->vni);
	count(BRIDGE_SUPPRESSED);
	if (origin.place == PLACE_PORT)
		return forward_answer(skb, origin.target);
	return send_to(skb, origin, config->vni);
}

INKEV_FUNCTION(bridge, skb)
{
	const struct bridge_config *config = lookup_config();
	struct location origin = origin_of(skb), to;
	struct ethernet buffer, *ethernet = read_bytes(skb, 0, &buffer, sizeof(buffer));
	const mac_t *source, *destination;

	if (unlikely(!config || !ethernet))
		return drop(skb, CORE_MALFORMED);
	source = &ethernet->source;
	destination = &ethernet->destination;
	if (unlikely(mac_is_multicast(source)))
		return drop(skb, BRIDGE_BAD_SOURCE);
	if (config->learning)
		learn_station(source, origin);
	if (unlikely(mac_is_multicast(destination)))
		return send_multicast(skb, destination, origin, config);
	to = lookup_station(destination, config);
	if (unlikely(to.place == PLACE_NOWHERE))
		return send_to_all(skb, origin, config->vni);
	if (unlikely(is_filtered(origin, to)))
		return drop(skb, BRIDGE_FILTERED);
	return send_to(skb, to, config->vni);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
