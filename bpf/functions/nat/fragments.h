/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Later fragments become what the first of their packet became. */
#pragma once

#include "tables.h"

/* What a first fragment became. */
struct translation {
	__u32 leaves; /* by which port */
	__u32 reserved;
	ip_t source;
	ip_t destination;
};

#define FRAGMENT_DATA struct translation
#include "fragment.h"

/* The first fragment in scratch has been translated: those that come after it shall be too. */
__noinline bool learn_translation(struct __sk_buff *skb, __u32 leaves)
{
	const struct scratch *memory = lookup_scratch();
	struct first_fragment first = {.data.leaves = leaves};
	struct fragment_key key;

	if (!memory)
		return false;
	key = fragment_key_of(skb, &memory->packet);
	key.source = memory->source;
	key.destination = memory->destination;
	first.data.source = memory->packet.source;
	first.data.destination = memory->packet.destination;
	return learn_fragment(&key, &memory->packet, &first);
}

/* What the first fragment of the packet in scratch became, if this one follows it. */
static __always_inline const struct translation *lookup_translation(struct __sk_buff *skb,
								    const struct scratch *memory)
{
	struct fragment_key key = fragment_key_of(skb, &memory->packet);
	const struct first_fragment *first = lookup_fragment(&key, &memory->packet);

	return first ? &first->data : NULL;
}
