/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What judging keeps in memory: the stack has 512 bytes for all functions together. */
#pragma once

#include "inspect.gen.h"
#include "packet.h"
#include "flows.h"

/* Bytes of a payload that are fetched at once. */
#define CHUNK 512
/* Payloads are looked at up to 65,535 bytes. */
#define CHUNKS_MAX 128
/* Bytes behind a place that its sieve looks at. */
#define LOOKAHEAD 3
/* Places that are sifted at once: bits of a word. */
#define BLOCK  64
#define BLOCKS (CHUNK / BLOCK)

#define SEEN_WORDS (INSPECT_PATTERNS_MAX / 64)

/* A chunk of a payload. */
struct window {
	__u64 hits[BLOCKS]; /* where patterns may begin, as bits */
	__u32 length;
	__u32 at;    /* the byte that is read next */
	__u32 read;  /* behind the byte that was read last */
	__u32 state; /* of the automaton, behind that byte */
	bool inside; /* whether the bytes before it may begin a pattern that goes on with it */
	__u8 reserved[7];
	__u8 bytes[CHUNK + LOOKAHEAD + 5];
};

/* One for each CPU, as no packet is left halfway. */
struct scratch {
	struct packet packet;
	union session_key key;
	__u64 seen[SEEN_WORDS]; /* the patterns found so far, as bits */
	struct window window;
};

#include "scratch.h"
