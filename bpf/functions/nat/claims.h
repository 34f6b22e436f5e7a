/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Claims: which session an outside end belongs to. A port is free for a remote end if nobody else
 * has claimed it. */
#pragma once

#include "tables.h"

/* How many ports of an address are tried, and of how many addresses, before a packet is refused. */
#define CLAIM_TRIES	256
#define CLAIM_ADDRESSES 2
/* A claim comes before its session: until then, and a while longer, it stands by itself. */
#define CLAIM_GRACE (1000000000ULL)

/*
 * Key: the session as seen from outside, its workload 0, as ports that share a NAT share its
 * addresses. Whoever inserts a key has the port: that decides between CPUs. A claim whose session
 * is gone may be taken over by him who exchanges `since`.
 */
struct claim4 {
	time_t_ns since;
	struct session4_key session;
};

struct claim6 {
	time_t_ns since;
	struct session6_key session;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* nat.ts says how many */
	__type(key, struct session4_key);
	__type(value, struct claim4);
} claims4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* nat.ts says how many */
	__type(key, struct session6_key);
	__type(value, struct claim6);
} claims6 SEC(".maps");

static __always_inline bool equal_words(const void *a, const void *b, __u32 size)
{
	const __u32 *one = a, *other = b;
	__u32 difference = 0;

#pragma unroll
	for (__u32 i = 0; i < size / sizeof(__u32); i++)
		difference |= one[i] ^ other[i];
	return !difference;
}

/* The session's key as seen from outside. */
static __always_inline void make_claim_key(__u32 family, const union session_key *key,
					   const struct outside *outside, union session_key *claim)
{
	*claim = *key;
	if (family == 4) {
		claim->v4.local = outside->address.word[3];
		claim->v4.local_port = outside->port;
		claim->v4.workload = 0;
	} else {
		claim->v6.local = outside->address;
		claim->v6.local_port = outside->port;
		claim->v6.workload = 0;
	}
}

/* Whether a session is known outside under that claim, and has not been given another port since.
 */
static __always_inline bool is_known_as(__u32 family, const struct session *session,
					const union session_key *claim)
{
	const struct outside *outside = &session->data;
	port_t port = family == 4 ? claim->v4.local_port : claim->v6.local_port;

	if (outside->port != port)
		return false;
	return family == 4 ? outside->address.word[3] == claim->v4.local
			   : ip_equals(&outside->address, &claim->v6.local);
}

/* Whether a claim's session lives, and is known under that claim. */
static __always_inline bool is_held(const struct nat_config *config, __u32 family,
				    const union session_key *owner, const union session_key *claim,
				    time_t_ns now)
{
	const struct packet of_family = {.family = family};
	const struct session *session = lookup_session(&of_family, owner);
	protocol_t protocol = family == 4 ? owner->v4.protocol : owner->v6.protocol;

	return session && !is_forgotten(config, session, protocol, now) &&
	       is_known_as(family, session, claim);
}

#define CLAIM(family_)                                                                            \
	static __always_inline bool take_claim##family_(const struct nat_config *config,          \
							const union session_key *claim,           \
							const union session_key *key)             \
	{                                                                                         \
		time_t_ns now = bpf_ktime_get_coarse_ns(), since;                                 \
		struct claim##family_ fresh = {.since = now, .session = key->v##family_}, *found; \
		union session_key owner = {};                                                     \
		bool taken = !bpf_map_update_elem(&claims##family_, &claim->v##family_, &fresh,   \
						  BPF_NOEXIST);                                   \
                                                                                                  \
		/* In any case, as store_session() has it. */                                     \
		found = bpf_map_lookup_elem(&claims##family_, &claim->v##family_);                \
		if (taken || !found)                                                              \
			return taken;                                                             \
		if (equal_words(&found->session, &key->v##family_, sizeof(found->session)))       \
			return true;                                                              \
		since = found->since;                                                             \
		owner.v##family_ = found->session;                                                \
		if ((__s64)(now - since) < (__s64)CLAIM_GRACE ||                                  \
		    is_held(config, family_, &owner, claim, now) ||                               \
		    __sync_val_compare_and_swap(&found->since, since, now) != since)              \
			return false;                                                             \
		found->session = key->v##family_;                                                 \
		return true;                                                                      \
	}

CLAIM(4)
CLAIM(6)

/*
 * Claims an outside end for the session `key`; false: it is another's. Global, as are functions
 * below: the verifier walks them once and not for every caller.
 */
__noinline bool take_claim(__u32 family, const union session_key *claim,
			   const union session_key *key)
{
	const struct nat_config *config = lookup_config();

	if (!config || !claim || !key)
		return false;
	return family == 4 ? take_claim4(config, claim, key) : take_claim6(config, claim, key);
}

/*
 * Puts a new session under a key. False: a living one stands there, which another CPU has just put.
 * One that is forgotten is replaced by him who exchanges its time.
 */
static __always_inline bool add_session(const struct nat_config *config,
					const struct packet *packet, const union session_key *key,
					const struct session *fresh)
{
	struct session *found;
	time_t_ns since;

	bool added = packet->family == 4
			     ? !bpf_map_update_elem(&sessions4, &key->v4, fresh, BPF_NOEXIST)
			     : !bpf_map_update_elem(&sessions6, &key->v6, fresh, BPF_NOEXIST);

	/* In any case, as store_session() has it. */
	found = lookup_session(packet, key);
	if (added || !found)
		return added;
	since = found->last_seen;
	if (!is_forgotten(config, found, packet->protocol, fresh->last_seen) ||
	    __sync_val_compare_and_swap(&found->last_seen, since, fresh->last_seen) != since)
		return false;
	return store_session(packet, key, fresh);
}

/* The session that has claimed an outside end: puts its key at `key`. */
static __always_inline bool lookup_claim(__u32 family, const union session_key *claim,
					 union session_key *key)
{
	if (family == 4) {
		const struct claim4 *found = bpf_map_lookup_elem(&claims4, &claim->v4);

		if (found)
			key->v4 = found->session;
		return found;
	} else {
		const struct claim6 *found = bpf_map_lookup_elem(&claims6, &claim->v6);

		if (found)
			key->v6 = found->session;
		return found;
	}
}

/* A search for a free port, in scratch.rule, for the session `key`. */
struct port_search {
	__u32 family;
	__u32 address; /* of the rule's, the one to begin with */
	__u32 port;    /* likewise */
	protocol_t protocol;
	bool found;
	struct outside outside;
	union session_key key;
	union session_key claim;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct port_search);
} port_searches SEC(".maps");

struct port_walk {
	struct port_search *search;
	const struct source *rule;
};

static __always_inline ip_t nth_address(const struct source *rule, __u32 n)
{
	ip_t address = rule->first;

	address.word[3] = bpf_htonl(bpf_ntohl(address.word[3]) + n);
	return address;
}

/* The n-th try: the ports of an address one after the other where all can be tried; else any, as
 * those that inside ports were kept for lie close together. */
static long try_port(__u32 n, struct port_walk *walk)
{
	struct port_search *search = walk->search;
	const struct source *rule = walk->rule;
	__u32 ports = rule->ports, turn, port;

	if (!ports || !rule->addresses)
		return 1;
	turn = n / (ports < CLAIM_TRIES ? ports : CLAIM_TRIES);
	if (turn >= rule->addresses)
		return 1;
	port = n && ports > CLAIM_TRIES ? bpf_get_prandom_u32() >> 16 : search->port + n;
	search->outside.address = nth_address(rule, (search->address + turn) % rule->addresses);
	search->outside.port = bpf_htons(rule->first_port + port % ports);
	if (lookup_port_forward(&search->outside.address, search->outside.port, search->protocol))
		return 0;
	make_claim_key(search->family, &search->key, &search->outside, &search->claim);
	search->found = take_claim(search->family, &search->claim, &search->key);
	return search->found;
}

static __always_inline __u32 mix(__u32 number)
{
	number *= 0x9e3779b1;
	return number ^ number >> 15;
}

/*
 * Claims a free outside end by the rule in scratch for the session `key`, whose local end has the
 * packet's source port. That port is kept where it can be; else it is any (RFC 6056). A host keeps
 * to one address (RFC 4787 REQ-2) until that has no ports left.
 */
__noinline bool claim_port(const struct packet *packet, const union session_key *key,
			   struct outside *outside)
{
	struct scratch *memory = lookup_scratch();
	struct port_walk walk = {};
	__u32 zero = 0, own;

	walk.search = bpf_map_lookup_elem(&port_searches, &zero);
	if (!memory || !walk.search || !packet || !key || !outside)
		return false;
	walk.rule = &memory->rule;
	own = bpf_ntohs(packet->source_port) - walk.rule->first_port;
	walk.search->family = packet->family;
	walk.search->protocol = packet->protocol;
	walk.search->key = *key;
	walk.search->found = false;
	walk.search->outside = *outside;
	walk.search->address = mix(packet->source.word[2] ^ packet->source.word[3]);
	if (walk.rule->addresses)
		walk.search->address %= walk.rule->addresses;
	walk.search->port = own < walk.rule->ports ? own : bpf_get_prandom_u32() >> 16;
	try_port(0, &walk);
	if (!walk.search->found) {
		walk.search->port = bpf_get_prandom_u32() >> 16;
		bpf_loop(CLAIM_ADDRESSES * CLAIM_TRIES, try_port, &walk, 0);
	}
	*outside = walk.search->outside;
	return walk.search->found;
}
