/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Scalar types whose names carry byte order and unit: BTF keeps them for whoever reads a map. */
#pragma once

#include <linux/types.h>

typedef __u8 bool_t;
typedef __be32 ipv4_t;	  /* network order */
typedef __be16 port_t;	  /* network order */
typedef __u8 protocol_t;  /* IP protocol number */
typedef __u64 duration_t; /* nanoseconds */
typedef __u64 time_t_ns;  /* nanoseconds since boot, bpf_ktime_get_coarse_ns() */
typedef __u64 bitrate_t;  /* bits per second */
typedef __u32 vni_t;	  /* 24 bits, host order */
typedef __u32 ifindex_t;

/* What a packet seldom meets is moved out of the way of those that do not. */
#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* An Ethernet address, which stands at even offsets in frames: clang would read bytes else. */
typedef struct {
	__u8 byte[6];
} __attribute__((aligned(2))) mac_t;

/* The header of an Ethernet frame. */
struct ethernet {
	mac_t destination;
	mac_t source;
	__be16 type;
};

/* An IPv6 address, network order. */
typedef struct {
	union {
		__u8 byte[16];
		__be32 word[4];
		__be64 half[2];
	};
} ipv6_t;

/* An address of either family: IPv4 is mapped (::ffff:a.b.c.d). */
typedef ipv6_t ip_t;

/*
 * A prefix of either family as an LPM trie's key: the length counts the mapped address's bits, so
 * that of an IPv4 prefix is 96 more than written. The prefix ::/0 covers mapped addresses as well.
 */
typedef struct {
	__u32 length;
	ip_t address;
} __attribute__((packed, aligned(4))) prefix_t;

/*
 * Copies a constant number of bytes, a multiple of 8, in words. BPF machines read at any offset,
 * but clang takes packets and packed structures byte by byte.
 */
#define copy_words(to, from, size)                                                            \
	do {                                                                                  \
		_Static_assert((size) % 8 == 0, "whole words are copied");                    \
		for (__u32 copied_ = 0; copied_ < (size) / 8; copied_++)                      \
			((__u64 *)(to))[copied_] = ((const volatile __u64 *)(from))[copied_]; \
	} while (0)
