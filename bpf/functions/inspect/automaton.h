/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The search for many patterns at once: automata of Aho and Corasick, which automaton.ts has worked
 * out. */
#pragma once

#include "inspect.gen.h"
#include "packet.h"

/* Bit of a transition: patterns end in the state to which it leads. */
#define MATCHES 0x8000
/* Bytes of a payload that are fetched at once. */
#define CHUNK 512
/* Payloads are looked at up to 65,535 bytes. */
#define CHUNKS_MAX 128

/*
 * Of all tables there are two halves, for even and odd generations. A change of rules and patterns
 * fills one beside the other, which is in force, and then writes the generation's number. A packet
 * reads that number before and after its search, and searches again where it has changed.
 */

/* A state, by its number. */
struct state {
	__u16 next[256]; /* the state behind each byte, and MATCHES */
	__u16 match;	 /* the first of the patterns that end here; 0: none */
};

/* A pattern, by its number from 1. */
struct pattern {
	__u64 id;    /* key of pattern_hits */
	__u16 first; /* where in the payload it may begin */
	__u16 end;   /* where it must have ended */
	__u16 length;
	__u16 next; /* another that ends where this one does; 0: none */
	__u8 rule;  /* its number */
	__u8 reserved[7];
};

/* Where the search begins, how many bytes it takes, and the rules that want it, as bits. */
struct automaton {
	__u32 root;
	__u32 reach;
	__u32 rules;
};

struct rule {
	__u16 first_port; /* host order, as all of these */
	__u16 last_port;
	__u16 first_source;
	__u16 last_source;
	bool_t any_protocol;
	protocol_t protocol;
	bool_t ingress;
	bool_t egress;
	enum inspect_rules_action action;
	bool_t follow;
	__u8 reserved[2];
};

/* All that a packet must be looked into for. */
struct search {
	struct automaton exact;
	struct automaton folded; /* capital letters are taken for small ones */
	struct automaton dns;	 /* through a name: a dot before each label */
	struct automaton tls;
	__u32 rule_count;
	bool_t follows; /* whether a rule does */
	__u8 reserved[3];
	struct rule rules[INSPECT_RULES_MAX];
};

struct hits {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 512); /* image.ts says how many */
	__type(key, __u32);
	__type(value, struct state);
} states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * INSPECT_PATTERNS_MAX + 1);
	__type(key, __u32);
	__type(value, struct pattern);
} patterns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct search);
} searches SEC(".maps");

/*
 * The generation in force; 0 before the first. Only the first entry is used. It has as many as
 * `states` so that states of another size come with a generation of their own: the program that
 * runs until then keeps both.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 512); /* image.ts says how many */
	__type(key, __u32);
	__type(value, __u32);
} generation SEC(".maps");

/* In how many packets each pattern was found, by its id. Entries appear with the first hit. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * INSPECT_PATTERNS_MAX);
	__type(key, __u64);
	__type(value, struct hits);
} pattern_hits SEC(".maps");

/* A way through an automaton. */
struct walk {
	const struct search *search;
	struct __sk_buff *skb;
	__u8 *chunk;  /* CHUNK bytes */
	__u64 *seen;  /* the patterns found so far, as bits */
	__u32 active; /* the rules that mean the packet, as bits */
	__u32 state;
	__u32 start;	/* of the payload, in the frame */
	__u32 position; /* in the payload, behind the byte that was read last */
	__u32 end;
	__u32 match;
	__u32 label;   /* of a name in DNS: bytes of the label that are still to come */
	__s32 verdict; /* the strongest action so far; NOTHING */
	bool follow;
};

/* No action: enum inspect_rules_action counts from 0. */
#define NOTHING (-1)

static __always_inline void count_hit(__u64 id, __u32 bytes)
{
	struct hits *hits = bpf_map_lookup_elem(&pattern_hits, &id), none = {};

	if (!hits) {
		bpf_map_update_elem(&pattern_hits, &id, &none, BPF_NOEXIST);
		hits = bpf_map_lookup_elem(&pattern_hits, &id);
	}
	if (!hits)
		return;
	hits->packets += 1;
	hits->bytes += bytes;
}

/* The pattern is in the packet: that is counted once, and its rule has a say. */
static __always_inline void find_pattern(struct walk *walk, const struct pattern *pattern,
					 __u32 number)
{
	__u32 index = (number - 1) % INSPECT_PATTERNS_MAX, rule = pattern->rule % INSPECT_RULES_MAX;
	__u64 bit = 1ULL << index % 64;
	const struct rule *of = &walk->search->rules[rule];

	if (!(walk->active >> rule & 1) || walk->seen[index / 64] & bit)
		return;
	walk->seen[index / 64] |= bit;
	count_hit(pattern->id, walk->skb->len);
	if (walk->verdict > (__s32)of->action)
		return;
	walk->follow = of->follow || (walk->follow && walk->verdict == (__s32)of->action);
	walk->verdict = of->action;
}

static long take_match(__u32 n, struct walk *walk)
{
	__u32 number = walk->match;
	const struct pattern *pattern = bpf_map_lookup_elem(&patterns, &number);

	if (!number || !pattern)
		return 1;
	walk->match = pattern->next;
	if (walk->position >= pattern->first + pattern->length && walk->position <= pattern->end)
		find_pattern(walk, pattern, number);
	return 0;
}

/* Takes note of the patterns that end in the state which has been reached. */
static __noinline void take_matches(struct walk *walk)
{
	__u32 number = walk->state;
	const struct state *state = bpf_map_lookup_elem(&states, &number);

	if (!state)
		return;
	walk->match = state->match;
	bpf_loop(INSPECT_PATTERNS_MAX, take_match, walk, 0);
}

/* Whether patterns end behind this byte. */
static __always_inline bool step(struct walk *walk, __u8 byte)
{
	__u32 number = walk->state;
	const struct state *state = bpf_map_lookup_elem(&states, &number);
	__u32 next = state ? state->next[byte] : 0;

	walk->state = next & ~MATCHES;
	return next & MATCHES;
}

static long read_byte(__u32 n, struct walk *walk)
{
	bool matches = step(walk, walk->chunk[n % CHUNK]);

	walk->position++;
	if (unlikely(matches))
		take_matches(walk);
	return 0;
}

/* Fetches up to CHUNK bytes from where the walk is; answers how many, 0 at the end. */
static __always_inline __u32 fetch_chunk(struct walk *walk)
{
	__u32 length = walk->end - walk->position;

	if (walk->position >= walk->end)
		return 0;
	if (length > CHUNK)
		length = CHUNK;
	barrier_var(length); /* else clang drops what the verifier wants to see */
	if (!length || length > CHUNK ||
	    bpf_skb_load_bytes(walk->skb, walk->start + walk->position, walk->chunk, length))
		return 0;
	return length;
}

static long read_chunk(__u32 n, struct walk *walk)
{
	__u32 length = fetch_chunk(walk);

	if (!length)
		return 1;
	bpf_loop(length, read_byte, walk, 0);
	return 0;
}

/* Leads the first bytes of a payload of `length` through an automaton, if a rule that means the
 * packet wants that. */
static __always_inline void search_payload(struct walk *walk, const struct automaton *automaton,
					   __u32 length)
{
	if (!(automaton->rules & walk->active))
		return;
	walk->state = automaton->root;
	walk->position = 0;
	walk->end = length < automaton->reach ? length : automaton->reach;
	bpf_loop(CHUNKS_MAX, read_chunk, walk, 0);
}
