// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Replaces a text in the payloads of TCP and UDP by another of the same length. It does not see a
// text that is cut in two by the end of a segment, compressed or encrypted, nor any behind a
// packet's first fragment. Each byte costs some 35 ns: name a port.
#include <inkev/function.h>

INKEV_ABOUT("Replaces a text in the payloads of TCP and UDP by another of the same length.");

INKEV_PORTS
{
	inkev_port inside;
	inkev_port outside;
};

INKEV_COUNTERS
{
	inkev_counter replaced INKEV_DOC("Texts that were replaced.");
	inkev_counter unequal INKEV_DOC(
		"Packets that passed unseen, as the texts differ in length.");
	inkev_counter fragments INKEV_DOC("Later fragments, which passed unseen.");
};

INKEV_CONFIG
{
	char find[16] INKEV_DOC("The text to look for, of at most 15 bytes.");
	char put[16] INKEV_DOC("What is put in its place, of as many bytes.");
	port_t port INKEV_DOC("Only from and to this port of TCP or UDP; 0: all.")
		INKEV_DEFAULT("0");
};

#define TEXT_MAX (sizeof(((struct inkev_config *)0)->find) - 1)

struct search {
	struct __sk_buff *skb;
	struct inkev_config texts; /* as they were when the packet came */
	struct packet packet;
	__u32 length; /* of the texts */
	__u32 next;   /* offset from which on a text may begin */
	__u64 here[2];
};

/* 0: they differ in length. Global, so that the verifier walks the loop once. */
__noinline __u32 length_of_texts(const struct inkev_config *texts)
{
	__u32 length = 0;

	if (!texts)
		return 0;
	while (length < TEXT_MAX && texts->find[length] && texts->put[length])
		length++;
	return texts->find[length] || texts->put[length] ? 0 : length;
}

/*
 * The difference of the texts goes into the checksum, with its bytes exchanged at an odd place. A
 * checksum that a device is to fill in, and what one has summed up, stay right by themselves; where
 * UDP has none, what the device has summed up changes.
 */
static __always_inline bool replace(struct search *search, __u32 at, __u32 length)
{
	struct inkev_config *texts = &search->texts;
	bool tcp = search->packet.protocol == IPPROTO_TCP;
	__u32 field = tcp ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check);
	__u32 change = bpf_csum_diff((void *)texts->find, sizeof(texts->find), (void *)texts->put,
				     sizeof(texts->put), 0);
	__u16 sum;

	if ((at - search->packet.payload) & 1)
		change = change >> 8 | change << 24;
	count(COUNTER(replaced));
	if (bpf_skb_load_bytes(search->skb, search->packet.l4 + field, &sum, sizeof(sum)))
		return false;
	if (!tcp && !sum)
		return !bpf_skb_store_bytes(search->skb, at, texts->put, length,
					    BPF_F_RECOMPUTE_CSUM);
	return !bpf_skb_store_bytes(search->skb, at, texts->put, length, 0) &&
	       !bpf_l4_csum_replace(search->skb, search->packet.l4 + field, 0, change,
				    tcp ? 0 : BPF_F_MARK_MANGLED_0);
}

static long try_offset(__u32 n, struct search *search)
{
	const __u64 *find = (void *)search->texts.find;
	__u32 at = search->packet.payload + n, length = search->length;

	if (at < search->next)
		return 0;
	if (length < 1 || length > TEXT_MAX ||
	    bpf_skb_load_bytes(search->skb, at, search->here, length))
		return 1;
	if (search->here[0] != find[0] || search->here[1] != find[1])
		return 0;
	search->next = at + length;
	return !replace(search, at, length);
}

static __always_inline void search_payload(struct search *search)
{
	__u32 length = search->packet.l3 + search->packet.length - search->packet.payload;

	search->length = length_of_texts(&search->texts);
	if (!search->length)
		count(COUNTER(unequal));
	else if (search->length <= length)
		bpf_loop(length - search->length + 1, try_offset, search, 0);
}

static __always_inline bool is_meant(const struct packet *packet, port_t port)
{
	return (packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP) &&
	       (!port || packet->source_port == port || packet->destination_port == port);
}

INKEV_FUNCTION(rewriter, skb)
{
	const struct inkev_config *config = lookup_config();
	struct search search = {.skb = skb};

	if (!config || !parse_packet(skb, &search.packet))
		return drop(skb, CORE_MALFORMED);
	search.texts = *config;
	if (search.packet.fragment == LATER_FRAGMENT)
		count(COUNTER(fragments));
	else if (is_meant(&search.packet, search.texts.port))
		search_payload(&search);
	return pass_through(skb, arrived_at(skb));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
