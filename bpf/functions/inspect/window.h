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

/* How far the search of a packet is, and what it has found. */
struct walk {
	__u64 seen[SEEN_WORDS]; /* the patterns found so far, as bits */
	__u32 active;		/* the rules that mean the packet, as bits */
	__u32 bytes;		/* of the packet */
	__u32 start;		/* of the payload, in the frame */
	__u32 length;		/* of the payload */
	__u32 position;		/* in the payload, behind the byte that was read last */
	__u32 end;		/* of what is searched, in the payload */
	__u32 state;		/* of the automaton, behind the byte that was read last */
	__u32 label;		/* of a name in DNS: bytes of the label that are still to come */
	__s32 verdict;		/* the strongest action so far; NOTHING */
	bool follow;		/* whether the flow has the verdict, too */
	__u8 reserved[3];
};

/* A chunk of a payload. */
struct window {
	__u64 hits[BLOCKS]; /* where patterns may begin, as bits */
	__u32 begin;	    /* in the payload */
	__u32 length;
	__u32 at;     /* the byte that is read next */
	__u32 read;   /* behind the byte that was read last */
	__u32 state;  /* of the automaton, behind that byte */
	bool matches; /* whether patterns end there */
	bool inside;  /* whether the bytes before `at` may begin a pattern that goes on with it */
	__u8 reserved[2];
	__u8 bytes[CHUNK + LOOKAHEAD + 5];
};

/* One for each CPU, as no packet is left halfway. */
struct scratch {
	struct packet packet;
	union session_key key;
	struct walk walk;
	struct window window;
};

#include "scratch.h"
