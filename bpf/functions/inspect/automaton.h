/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The search for many patterns at once: automata of Aho and Corasick, which automaton.ts has worked
 * out. */
#pragma once

#include "inspect.gen.h"
#include "sieve.h"

/* Bit of a transition: patterns end in the state to which it leads. */
#define MATCHES 0x8000
/* Bytes that are led through the automaton at once. */
#define STRIDE 8
/* Each byte may be read twice: as the end of one way, and as the beginning of the next. */
#define WAYS_MAX (2 * CHUNK + BLOCKS)

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

/* In how many packets each pattern was found, by its id. Entries appear with the first hit. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * INSPECT_PATTERNS_MAX);
	__type(key, __u64);
	__type(value, struct hits);
} pattern_hits SEC(".maps");

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
static __always_inline void find_pattern(struct walk *walk, const struct search *search,
					 const struct pattern *pattern, __u32 number)
{
	__u32 index = (number - 1) % INSPECT_PATTERNS_MAX, rule = pattern->rule % INSPECT_RULES_MAX;
	__u64 bit = 1ULL << index % 64;
	const struct rule *of = &search->rules[rule];

	if (!(walk->active >> rule & 1) || walk->seen[index / 64] & bit)
		return;
	walk->seen[index / 64] |= bit;
	count_hit(pattern->id, walk->bytes);
	if (walk->verdict > (__s32)of->action)
		return;
	walk->follow = of->follow || (walk->follow && walk->verdict == (__s32)of->action);
	walk->verdict = of->action;
}

/* The patterns that end in one place. */
struct matches {
	struct walk *walk;
	const struct search *search;
	__u32 number; /* the next of them; 0: none */
};

static long take_match(__u32 n, struct matches *matches)
{
	struct walk *walk = matches->walk;
	__u32 number = matches->number;
	const struct pattern *pattern = bpf_map_lookup_elem(&patterns, &number);

	if (!number || !pattern)
		return 1;
	matches->number = pattern->next;
	if (walk->position >= pattern->first + pattern->length && walk->position <= pattern->end)
		find_pattern(walk, matches->search, pattern, number);
	return 0;
}

/*
 * Takes note of the patterns that end in the state which has been reached. Global, as are the other
 * parts of a search, so that the verifier walks it once and not for every caller.
 */
__noinline int take_matches(struct walk *walk, const struct search *search)
{
	struct matches matches = {.walk = walk, .search = search};
	const struct state *state;
	__u32 number;

	if (!walk || !search)
		return 0;
	number = walk->state;
	state = bpf_map_lookup_elem(&states, &number);
	if (!state)
		return 0;
	matches.number = state->match;
	bpf_loop(INSPECT_PATTERNS_MAX, take_match, &matches, 0);
	return 0;
}

/* Leads one byte through the automaton. */
static __always_inline void step(struct walk *walk, __u8 byte)
{
	__u32 number = walk->state;
	const struct state *state = bpf_map_lookup_elem(&states, &number);

	walk->state = state ? state->next[byte] & ~MATCHES : 0;
}

/* Fetches up to `size` bytes from where the walk is; answers how many, 0 at the end. */
static __always_inline __u32 fetch(struct __sk_buff *skb, const struct walk *walk,
				   struct window *window, const __u32 size)
{
	__u32 length = walk->end - walk->position;

	if (walk->position >= walk->end)
		return 0;
	if (length > size)
		length = size;
	barrier_var(length); /* else clang drops what the verifier wants to see */
	if (!length || length > size ||
	    bpf_skb_load_bytes(skb, walk->start + walk->position, window->bytes, length))
		return 0;
	return length;
}

/* Where an automaton is walked. */
struct way {
	struct window *window;
	const struct automaton *automaton;
};

/* Goes to the next place of the block where a pattern may begin; false: to the end of the block. */
static __always_inline bool seek(struct window *window)
{
	__u32 at = window->at, block = at / BLOCK % BLOCKS;
	__u64 hits = window->hits[block] >> at % BLOCK;

	window->at = hits ? at + __builtin_ctzll(hits) : (at | (BLOCK - 1)) + 1;
	return hits;
}

/* Leads some bytes through the automaton, as long as a pattern may go on there. */
static long follow(__u32 n, struct way *way)
{
	const struct automaton *automaton = way->automaton;
	struct window *window = way->window;
	bool begins = !window->inside;
	__u32 at, number, next = 0;

	if (begins && (!seek(window) || window->at >= window->length))
		return window->at >= window->length;
	at = window->at;
	number = begins ? automaton->root : window->state;
	window->inside = true;
#pragma unroll
	for (int i = 0; i < STRIDE; i++) {
		const struct state *state = bpf_map_lookup_elem(&states, &number);

		if (at >= window->length || !state)
			break;
		next = state->next[window->bytes[at++ % CHUNK]];
		number = next & ~MATCHES;
		if (number <= automaton->shallow && (i || !begins)) {
			window->inside = false;
			break;
		}
		if (next & MATCHES)
			break;
	}
	window->state = number;
	window->matches = next & MATCHES;
	window->read = at;
	/* The last byte may begin a pattern: it is sifted by itself. */
	window->at = at - (!window->inside && number != automaton->root);
	return window->matches || window->at >= window->length;
}

/* Leads the rest of the window through an automaton, until patterns end in a state; false: to its
 * end. */
__noinline int walk_window(struct window *window, const struct automaton *automaton)
{
	struct way way = {.window = window, .automaton = automaton};

	if (!window || !automaton)
		return false;
	window->matches = false;
	bpf_loop(WAYS_MAX, follow, &way, 0);
	return window->matches;
}

/* Where a payload is searched. */
struct reading {
	struct __sk_buff *skb;
	struct scratch *memory;
	const struct search *search;
	const struct automaton *automaton;
};

static long find_next(__u32 n, struct reading *reading)
{
	struct walk *walk = &reading->memory->walk;
	struct window *window = &reading->memory->window;

	if (!walk_window(window, reading->automaton))
		return 1;
	walk->state = window->state;
	walk->position = window->begin + window->read;
	take_matches(walk, reading->search);
	return 0;
}

static long read_chunk(__u32 n, struct reading *reading)
{
	struct walk *walk = &reading->memory->walk;
	struct window *window = &reading->memory->window;
	__u32 fetched = fetch(reading->skb, walk, window, CHUNK + LOOKAHEAD);

	if (!fetched)
		return 1;
	window->begin = walk->position;
	window->length = fetched < CHUNK ? fetched : CHUNK;
	window->at = 0;
	if (sift(window, reading->automaton) || window->inside)
		bpf_loop(2 * CHUNK, find_next, reading, 0);
	walk->position = window->begin + window->length;
	return 0;
}

/* Leads the first bytes of the payload through an automaton. */
__noinline int search_payload(struct __sk_buff *skb, struct scratch *memory,
			      const struct search *search, const struct automaton *automaton)
{
	struct reading reading = {skb, memory, search, automaton};
	struct walk *walk;

	if (!memory || !search || !automaton)
		return 0;
	walk = &memory->walk;
	memory->window.inside = false;
	walk->position = 0;
	walk->end = walk->length < automaton->reach ? walk->length : automaton->reach;
	bpf_loop(CHUNKS_MAX, read_chunk, &reading, 0);
	return 0;
}
