/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stateless DHCPv6 (RFC 8415 18.3.6): who has an address already is told everything else. */
#pragma once

#include "answer.h"

#define DHCPV6_INFORMATION_REQUEST 11

enum dhcpv6_option {
	OPTION6_CLIENT = 1,
	OPTION6_SERVER = 2,
	OPTION6_ADDRESSES = 3,
	OPTION6_TEMPORARY = 4,
	OPTION6_PREFIXES = 25,
};

#define OPTION6_STEPS 64
/* RFC 8415 11.1: type and at most 128 bytes. */
#define DUID_MAX 130
/* The server's own: type, hardware type and MAC. */
#define OWN_DUID_LENGTH 10

#define MESSAGE6_OFFSET (L3_OFFSET + sizeof(struct ipv6hdr) + sizeof(struct udphdr))

/* ff02::1:2, all servers and relay agents. */
#define ALL_SERVERS ((ip_t){.byte = {0xff, 0x02, [13] = 1, [15] = 2}})

struct option6 {
	__be16 code;
	__be16 length;
};

/* The option that the answer repeats, if there is one. */
struct client_duid {
	struct option6 option;
	__u8 bytes[DUID_MAX];
};

struct option6_walk {
	struct __sk_buff *skb;
	__u32 offset;
	__u32 end;
	__u32 client; /* where the client's DUID is */
	__u32 client_length;
	mac_t own;
	bool malformed;
	bool not_chosen;
};

static __always_inline bool is_own_duid(struct option6_walk *walk, __u32 offset, __u32 length)
{
	struct {
		__be16 type;
		__be16 hardware;
		mac_t mac;
	} duid;

	return length == OWN_DUID_LENGTH &&
	       !bpf_skb_load_bytes(walk->skb, offset, &duid, sizeof(duid)) &&
	       duid.type == bpf_htons(3) && duid.hardware == bpf_htons(1) &&
	       mac_equals(&duid.mac, &walk->own);
}

/* False where the option must not be in such a message: RFC 8415 16.12. */
static __always_inline bool keep_option6(struct option6_walk *walk, __u32 code, __u32 offset,
					 __u32 length)
{
	switch (code) {
	case OPTION6_CLIENT:
		walk->client = offset;
		walk->client_length = length;
		return true;
	case OPTION6_SERVER:
		walk->not_chosen = !is_own_duid(walk, offset, length);
		return true;
	case OPTION6_ADDRESSES:
	case OPTION6_TEMPORARY:
	case OPTION6_PREFIXES:
		return false;
	default:
		return true;
	}
}

/* One step of the loop; 1 ends it. */
static long read_option6(__u32 n, struct option6_walk *walk)
{
	__u32 value = walk->offset + sizeof(struct option6), length;
	struct option6 option;

	if (walk->offset >= walk->end)
		return 1;
	walk->malformed = true;
	if (bpf_skb_load_bytes(walk->skb, walk->offset, &option, sizeof(option)))
		return 1;
	length = bpf_ntohs(option.length);
	if (value + length > walk->end ||
	    !keep_option6(walk, bpf_ntohs(option.code), value, length))
		return 1;
	walk->malformed = false;
	walk->offset = value + length;
	return 0;
}

/* Reads an information request: 0, or the negative counter under which it ends. The client's DUID
 * is kept in `duid`, its transaction in `message`. */
static __always_inline int read_information_request(struct __sk_buff *skb,
						    const struct packet *packet,
						    const struct server *self, __u8 *message,
						    struct client_duid *duid)
{
	struct option6_walk walk = {.skb = skb,
				    .offset = packet->payload + 4,
				    .end = packet->l3 + packet->length,
				    .own = self->mac};
	__u32 length;

	if (bpf_skb_load_bytes(skb, packet->payload, message, 4))
		return -CORE_MALFORMED;
	if (message[0] != DHCPV6_INFORMATION_REQUEST)
		return -DHCP_IGNORED;
	bpf_loop(OPTION6_STEPS, read_option6, &walk, 0);
	length = walk.client_length;
	if (walk.malformed || length > DUID_MAX)
		return -CORE_MALFORMED;
	if (walk.not_chosen)
		return -DHCP_NOT_CHOSEN;
	if (!length)
		return 0;
	if (bpf_skb_load_bytes(skb, walk.client, duid->bytes, length))
		return -CORE_MALFORMED;
	duid->option.code = bpf_htons(OPTION6_CLIENT);
	duid->option.length = bpf_htons(length);
	return 0;
}

/* Writes the answer's message; its length, or 0 where memory lacks. */
static __always_inline __u32 write_information(struct __sk_buff *skb, const __u8 *message,
					       const struct client_duid *duid)
{
	enum answer_kind kind = ANSWER_KIND_INFORMATION6;
	const struct answer *answer = bpf_map_lookup_elem(&answers, &kind);
	__u32 length, repeated = duid->option.code ? bpf_ntohs(duid->option.length) : 0;

	if (!answer)
		return 0;
	if (repeated)
		repeated += sizeof(duid->option);
	length = answer->length;
	if (length < 1 || length > MESSAGE_LENGTH || repeated > sizeof(*duid) ||
	    !resize_packet(skb, MESSAGE6_OFFSET + length + repeated) ||
	    bpf_skb_store_bytes(skb, MESSAGE6_OFFSET, answer->bytes, length,
				BPF_F_RECOMPUTE_CSUM) ||
	    bpf_skb_store_bytes(skb, MESSAGE6_OFFSET + 1, message + 1, 3, BPF_F_RECOMPUTE_CSUM))
		return 0;
	if (repeated && bpf_skb_store_bytes(skb, MESSAGE6_OFFSET + length, duid, repeated,
					    BPF_F_RECOMPUTE_CSUM))
		return 0;
	return length + repeated;
}

/* The length of the message that stands in the packet's place, for write_headers(); or the negative
 * counter under which it ends. */
static __noinline int answer_information_request(struct __sk_buff *skb, struct packet *packet,
						 const struct server *self)
{
	struct client_duid duid = {};
	__u8 message[4];
	__u32 length;
	int verdict = read_information_request(skb, packet, self, message, &duid);

	if (verdict)
		return verdict;
	length = write_information(skb, message, &duid);
	if (!length)
		return -CORE_NO_ROOM;
	count(DHCP_INFORMED);
	return length;
}
