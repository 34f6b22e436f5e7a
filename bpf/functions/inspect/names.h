/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Names that a payload asks for: in a DNS query (RFC 1035), and in a TLS ClientHello (RFC 8446, RFC
 * 6066). */
#pragma once

#include "automaton.h"

#define NAME_MAX   255
#define LABEL_MAX  63
#define DNS_QUERY  0xf800 /* QR and opcode: both are 0 */
#define TLS_RECORD 22
#define TLS_HELLO  1
/* Extensions of a ClientHello that are walked. Browsers send about twenty. */
#define TLS_EXTENSIONS_MAX 64
#define TLS_SERVER_NAME	   0

struct dns_header {
	__be16 id;
	__be16 flags;
	__be16 questions;
	__be16 others[3];
};

/* A ClientHello up to the first of its fields that has no fixed length. */
struct client_hello {
	__u8 record;
	__u8 version;
	__u8 minor_version;
	__be16 record_length;
	__u8 message;
	__u8 message_length[3];
	__u8 client_version[2];
	__u8 random[32];
	__u8 session_length;
} __attribute__((packed));

struct tls_extension {
	__be16 type;
	__be16 length;
	__be16 list_length;
	__u8 name_type;
	__be16 name_length;
} __attribute__((packed));

/* A byte of a name as DNS writes it: each label begins with its length. A dot within a label is no
 * border of labels. */
static long read_name(__u32 n, struct reading *reading)
{
	struct walk *walk = &reading->memory->walk;
	__u8 byte = reading->memory->window.bytes[n % CHUNK];

	walk->position++;
	if (walk->label) {
		walk->label--;
		step(walk, byte == '.' ? 0 : byte);
		return 0;
	}
	if (!byte)
		take_matches(walk, reading->search);
	if (!byte || byte > LABEL_MAX)
		return 1;
	walk->label = byte;
	step(walk, '.');
	return 0;
}

/* Leads the name in a DNS query through its automaton; the message begins at `offset` of the
 * payload. */
__noinline int search_question(struct __sk_buff *skb, struct scratch *memory,
			       const struct search *search, __u32 offset)
{
	struct reading reading = {.memory = memory, .search = search};
	struct dns_header header;
	struct walk *walk;

	if (!memory || !search)
		return 0;
	walk = &memory->walk;
	if (bpf_skb_load_bytes(skb, walk->start + offset, &header, sizeof(header)) ||
	    header.flags & bpf_htons(DNS_QUERY) || header.questions != bpf_htons(1))
		return 0;
	walk->state = search->dns.root;
	walk->label = 0;
	walk->position = offset + sizeof(header);
	walk->end = walk->length < walk->position + NAME_MAX ? walk->length
							     : walk->position + NAME_MAX;
	bpf_loop(fetch(skb, walk, &memory->window, CHUNK), read_name, &reading, 0);
	return 0;
}

static long read_letter(__u32 n, struct reading *reading)
{
	struct walk *walk = &reading->memory->walk;

	walk->position++;
	step(walk, reading->memory->window.bytes[n % CHUNK]);
	return 0;
}

/* A way through the extensions of a ClientHello, to the name of a server. */
struct hello_walk {
	struct __sk_buff *skb;
	__u32 at;	   /* the next extension, in the frame */
	__u32 name_length; /* 0: not found yet */
};

static long read_tls_extension(__u32 n, struct hello_walk *hello)
{
	struct tls_extension extension;

	if (bpf_skb_load_bytes(hello->skb, hello->at, &extension, 4))
		return 1;
	if (extension.type != bpf_htons(TLS_SERVER_NAME)) {
		hello->at += 4 + bpf_ntohs(extension.length);
		return 0;
	}
	if (!bpf_skb_load_bytes(hello->skb, hello->at, &extension, sizeof(extension)) &&
	    !extension.name_type)
		hello->name_length = bpf_ntohs(extension.name_length);
	hello->at += sizeof(extension);
	return 1;
}

/* Skips a field that begins with its own length. */
static __always_inline bool skip_field(struct hello_walk *hello, __u32 size_of_length)
{
	__u8 length[2] = {};

	if (bpf_skb_load_bytes(hello->skb, hello->at, length, size_of_length))
		return false;
	hello->at +=
		size_of_length + (size_of_length == 1 ? length[0] : length[0] << 8 | length[1]);
	return true;
}

/* Whether the payload begins with a ClientHello that names a server: where, in the frame. */
static __always_inline bool find_server_name(struct hello_walk *hello)
{
	struct client_hello begin;

	if (bpf_skb_load_bytes(hello->skb, hello->at, &begin, sizeof(begin)) ||
	    begin.record != TLS_RECORD || begin.version != 3 || begin.message != TLS_HELLO)
		return false;
	hello->at += sizeof(begin) + begin.session_length;
	if (!skip_field(hello, 2) || !skip_field(hello, 1)) /* cipher suites, compression */
		return false;
	hello->at += 2;
	bpf_loop(TLS_EXTENSIONS_MAX, read_tls_extension, hello, 0);
	return hello->name_length;
}

/* Leads the server's name in a ClientHello through its automaton. */
__noinline int search_server_name(struct __sk_buff *skb, struct scratch *memory,
				  const struct search *search)
{
	struct reading reading = {.memory = memory};
	struct hello_walk hello = {.skb = skb};
	struct walk *walk;

	if (!memory || !search)
		return 0;
	walk = &memory->walk;
	hello.at = walk->start;
	if (!find_server_name(&hello) || hello.name_length > NAME_MAX)
		return 0;
	walk->position = hello.at - walk->start;
	walk->end = walk->position + hello.name_length;
	if (walk->end > walk->length)
		return 0;
	walk->state = search->tls.root;
	step(walk, '.');
	bpf_loop(fetch(skb, walk, &memory->window, CHUNK), read_letter, &reading, 0);
	take_matches(walk, search);
	return 0;
}
