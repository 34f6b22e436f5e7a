// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Replaces a text in the payloads of TCP and UDP by another of the same length. It does not see a
// text that is cut in two by the end of a segment, compressed or encrypted, nor any behind a
// packet's first fragment.
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

#define TEXT_MAX 15
#define CHUNK	 64 /* bytes that are fetched from the packet at a time */

/* The last bytes of a text, or of what has been read: the latest is the lowest. */
typedef unsigned __int128 window_t;

struct search {
	struct __sk_buff *skb;
	struct inkev_config texts; /* as they were when the packet came */
	window_t text, mask, read;
	__u32 length; /* of the text */
	__u32 fresh;  /* bytes read since the last one was found */
	__u32 at, end;
	__u32 checksum; /* offset of the packet's */
	__u32 checksum_flags;
	__u32 l4;
	__u8 chunk[CHUNK];
};

static __always_inline bool take_text(struct search *search)
{
	for (__u32 n = 0; n < TEXT_MAX; n++) {
		__u8 letter = search->texts.find[n];

		if (!letter != !search->texts.put[n])
			return false;
		if (!letter)
			break;
		search->text = search->text << 8 | letter;
		search->mask = search->mask << 8 | 0xff;
		search->length++;
	}
	return search->length > 0;
}

/*
 * The difference of the texts goes into the checksum, with its bytes exchanged at an odd place. A
 * checksum that a device is to fill in, and what one has summed up, stay right by themselves.
 */
static __always_inline bool replace(struct search *search, __u32 at)
{
	struct inkev_config *texts = &search->texts;
	__u32 change = bpf_csum_diff((void *)texts->find, sizeof(texts->find), (void *)texts->put,
				     sizeof(texts->put), 0);
	__u32 length = search->length;

	if ((at - search->l4) & 1)
		change = change >> 8 | change << 24;
	if (length < 1 || length > TEXT_MAX ||
	    bpf_skb_store_bytes(search->skb, at, texts->put, length, 0))
		return false;
	count(COUNTER(replaced));
	return !bpf_l4_csum_replace(search->skb, search->checksum, 0, change,
				    search->checksum_flags);
}

static long read_byte(__u32 n, struct search *search)
{
	if (n % CHUNK == 0) {
		__u32 beyond = search->end - search->at - 1; /* this one */

		if (beyond >= CHUNK)
			beyond = CHUNK - 1;
		if (bpf_skb_load_bytes(search->skb, search->at, search->chunk, beyond + 1))
			return 1;
	}
	search->read = search->read << 8 | search->chunk[n % CHUNK];
	search->at++;
	if (++search->fresh < search->length || (search->read & search->mask) != search->text)
		return 0;
	search->fresh = 0;
	return !replace(search, search->at - search->length);
}

static __always_inline void rewrite_payload(struct __sk_buff *skb, const struct packet *packet,
					    const struct inkev_config *config)
{
	bool tcp = packet->protocol == IPPROTO_TCP;
	struct search search = {
		.skb = skb,
		.texts = *config,
		.at = packet->payload,
		.end = packet->l3 + packet->length,
		.checksum = packet->l4 +
			    (tcp ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check)),
		.checksum_flags = tcp ? 0 : BPF_F_MARK_MANGLED_0,
		.l4 = packet->l4,
	};

	if (take_text(&search))
		bpf_loop(search.end - search.at, read_byte, &search, 0);
	else
		count(COUNTER(unequal));
}

static __always_inline bool is_meant(const struct packet *packet, port_t port)
{
	return (packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP) &&
	       (!port || packet->source_port == port || packet->destination_port == port);
}

INKEV_FUNCTION(rewriter, skb)
{
	const struct inkev_config *config = lookup_config();
	struct packet packet;

	if (!config || !parse_packet(skb, &packet))
		return drop(skb, CORE_MALFORMED);
	if (packet.fragment == LATER_FRAGMENT)
		count(COUNTER(fragments));
	else if (is_meant(&packet, config->port))
		rewrite_payload(skb, &packet, config);
	return pass_through(skb, arrived_at(skb));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
