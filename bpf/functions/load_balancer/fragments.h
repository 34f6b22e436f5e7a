/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Later fragments go the way of the first of their packet. */
#pragma once

#include "tables.h"
#include "translation.h"

#define FRAGMENT_DATA struct translation
#include "fragment.h"

/* A first fragment is translated: those that come after it shall be. False: there is no room to
 * remember it. */
__noinline bool learn_translation(struct __sk_buff *skb, const struct packet *packet,
				  const struct translation *translation)
{
	struct first_fragment first = {};
	struct fragment_key key;

	if (!packet || !translation)
		return false;
	key = fragment_key_of(skb, packet);
	first.data = *translation;
	return learn_fragment(&key, packet, &first);
}

/* A later fragment: its packet's first one, if it was translated, says what becomes of it. */
__noinline int follow_fragment(struct __sk_buff *skb, struct packet *packet, __u32 port)
{
	const struct first_fragment *first;
	struct fragment_key key;

	if (!packet)
		return CORE_MALFORMED;
	key = fragment_key_of(skb, packet);
	first = lookup_fragment(&key, packet);
	if (first)
		return translate(skb, packet, &first->data, port);
	return lookup_virtual(&packet->destination) ? LOAD_BALANCER_FRAGMENT : let_pass(port);
}
