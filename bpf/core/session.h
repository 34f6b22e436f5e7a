/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sessions: how every stateful kind names, follows and forgets the two-way traffic of two
 * endpoints. */
#pragma once

#include "graph.h"
#include "packet.h"

/*
 * A session is named by its two ends as seen from the function: `local` lies behind port INSIDE,
 * `remote` behind OUTSIDE. So packets of both directions make the same key without comparing
 * anything, and one lookup finds the session. `workload` keeps apart the port chains that share a
 * function, and with them tenants that use the same addresses.
 *
 * Protocols without ports leave them 0. Of a ping, the identifier is the port of the end that asked
 * and the other port is 0: a ping in one direction does not admit a ping in the other.
 */
struct session4_key {
	ipv4_t local;
	ipv4_t remote;
	port_t local_port;
	port_t remote_port;
	__u16 workload;
	protocol_t protocol;
	__u8 reserved;
};

struct session6_key {
	ipv6_t local;
	ipv6_t remote;
	port_t local_port;
	port_t remote_port;
	__u16 workload;
	protocol_t protocol;
	__u8 reserved;
};

/* The key of a packet's session, by the family of the packet. */
union session_key {
	struct session4_key v4;
	struct session6_key v6;
};

_Static_assert(WORKLOADS_MAX - 1 <= 0xffff, "a session's key holds the workload port in 16 bits");

/*
 * TCP passes through all of these. Other protocols are opened, established by the first packet of
 * the other end, and forgotten; SCTP is also closed by its ABORT and SHUTDOWN COMPLETE.
 */
enum session_state {
	SESSION_STATE_OPENED,	   /* one end has spoken (SYN) */
	SESSION_STATE_ANSWERED,	   /* the other has answered (SYN-ACK) */
	SESSION_STATE_ESTABLISHED, /* both know that it stands */
	SESSION_STATE_CLOSING,	   /* one end or both have finished (FIN) */
	SESSION_STATE_CLOSED,	   /* both know that both have; or one has aborted it (RST) */
} __attribute__((packed));

/* The ends of a session are numbered as the ports behind which they lie. */
enum session_end {
	SESSION_END_LOCAL = INSIDE,
	SESSION_END_REMOTE = OUTSIDE,
} __attribute__((packed));

enum session_flag {
	SESSION_LOCAL_FIN = 1 << SESSION_END_LOCAL,
	SESSION_REMOTE_FIN = 1 << SESSION_END_REMOTE,
	SESSION_BOTH_FIN = SESSION_LOCAL_FIN | SESSION_REMOTE_FIN,
	SESSION_UNCHECKED = 4, /* its windows are not known: picked up, or seen in fragments */
	SESSION_REOPENING = 8, /* its opener has sent a SYN into the living session */
};

/* What is known of one end of a TCP connection. */
struct tcp_end {
	__u32 sent;   /* the sequence number behind the last byte that it has sent */
	__u32 acked;  /* the last that it has acknowledged, in the other end's sequence numbers */
	__u32 window; /* the largest room that it has offered, in bytes */
};

struct session {
	time_t_ns last_seen;
	__u32 tick; /* the kernel's when last_seen was written: within it, no clock need be asked */
	__u32 generation; /* of the configuration that admitted it, for kinds that judge again */
	struct tcp_end end[2]; /* by enum session_end */
	enum session_state state;
	enum session_end opener;
	__u8 flags;  /* enum session_flag */
	__u8 scales; /* TCP window scales: the local end's, and << 4 the remote's */
	__u32 reserved;
#ifdef SESSION_DATA
	SESSION_DATA data; /* what the kind itself keeps */
#endif
};

/* What a packet is to the session that its addresses name. */
enum relation {
	BELONGS,
	OPENS,	     /* it begins a new session in place of the one that stands there */
	CONTRADICTS, /* it cannot be of this session */
};

/* How long a session may be silent. `config` is that of any kind which takes the fields of
 * session.ts. */
#define silence_limit(config, session, protocol)                                               \
	((protocol) == IPPROTO_TCP   ? ((session)->state == SESSION_STATE_ESTABLISHED          \
						? (config)->tcp_established_timeout            \
						: (config)->tcp_transient_timeout)             \
	 : (protocol) == IPPROTO_UDP ? (config)->udp_timeout                                   \
	 : (protocol) == IPPROTO_ICMP || (protocol) == IPPROTO_ICMPV6 ? (config)->icmp_timeout \
								      : (config)->other_timeout)

/* Sessions are forgotten lazily: one that was silent for too long is none to whoever finds it. */
#define is_forgotten(config, session, protocol, now) \
	((__s64)((now) - (session)->last_seen) > (__s64)silence_limit(config, session, protocol))

/* The kernel's tick, some milliseconds long: read in no time, while a clock costs a call. */
static __always_inline __u32 read_tick(void)
{
	return bpf_jiffies64();
}

/* A session is heard of. One that is closed is not kept alive by what comes late. */
static __always_inline void touch_session(struct session *session, time_t_ns now)
{
	if (session->state == SESSION_STATE_CLOSED)
		return;
	session->tick = read_tick();
	session->last_seen = now;
}

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024); /* session.ts says how many */
	__type(key, struct session4_key);
	__type(value, struct session);
} sessions4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024); /* session.ts says how many */
	__type(key, struct session6_key);
	__type(value, struct session);
} sessions6 SEC(".maps");

/* Whose sessions the packet is among: a workload port's, where the function stands in its chain. */
static __always_inline __u32 session_scope(const struct __sk_buff *skb)
{
	return chained_workload(skb);
}

static __always_inline bool is_ping(const struct packet *packet)
{
	return packet->icmp_type == (packet->family == 4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST);
}

static __always_inline bool is_pong(const struct packet *packet)
{
	return packet->icmp_type == (packet->family == 4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY);
}

/* Whether a packet is of a kind that has sessions: not a later fragment, and of ICMP only the echo.
 */
static __always_inline bool has_session(const struct packet *packet)
{
	if (!packet->family || packet->fragment == LATER_FRAGMENT)
		return false;
	return !is_icmp(packet) || is_ping(packet) || is_pong(packet);
}

static __always_inline port_t session_source_port(const struct packet *packet)
{
	return is_icmp(packet) && is_pong(packet) ? 0 : packet->source_port;
}

static __always_inline port_t session_destination_port(const struct packet *packet)
{
	return is_icmp(packet) && is_ping(packet) ? 0 : packet->destination_port;
}

static __always_inline struct session4_key session4_key_of(const struct packet *packet,
							   __u32 sender, __u32 workload)
{
	port_t source = session_source_port(packet), destination = session_destination_port(packet);
	struct session4_key key = {.workload = workload, .protocol = packet->protocol};

	key.local = sender == INSIDE ? packet->source.word[3] : packet->destination.word[3];
	key.remote = sender == INSIDE ? packet->destination.word[3] : packet->source.word[3];
	key.local_port = sender == INSIDE ? source : destination;
	key.remote_port = sender == INSIDE ? destination : source;
	return key;
}

static __always_inline struct session6_key session6_key_of(const struct packet *packet,
							   __u32 sender, __u32 workload)
{
	port_t source = session_source_port(packet), destination = session_destination_port(packet);
	struct session6_key key = {.workload = workload, .protocol = packet->protocol};

	key.local = sender == INSIDE ? packet->source : packet->destination;
	key.remote = sender == INSIDE ? packet->destination : packet->source;
	key.local_port = sender == INSIDE ? source : destination;
	key.remote_port = sender == INSIDE ? destination : source;
	return key;
}

/*
 * Makes the key of a packet that has a session; `sender` is the port behind which its sender lies.
 * Global, so that the verifier walks it once and not for every caller.
 */
__noinline bool make_session_key(struct __sk_buff *skb, const struct packet *packet, __u32 sender,
				 union session_key *key)
{
	if (!packet || !key)
		return false;
	if (packet->family == 4)
		key->v4 = session4_key_of(packet, sender, session_scope(skb));
	else
		key->v6 = session6_key_of(packet, sender, session_scope(skb));
	return true;
}

/* The session that stands under the packet's key, be it forgotten or not. */
static __always_inline struct session *lookup_session(const struct packet *packet,
						      const union session_key *key)
{
	if (packet->family == 4)
		return bpf_map_lookup_elem(&sessions4, &key->v4);
	return bpf_map_lookup_elem(&sessions6, &key->v6);
}

/*
 * Puts a new session in the place of whatever stands under the packet's key: over it, as ends that
 * use their ports again find their last session there, and in giving out places the table touches
 * memory that is in no cache. A new one is looked up at once: a full table gives up first what
 * nobody has looked up, and that would be the flows whose answers are still to come.
 */
static __always_inline bool store_session(const struct packet *packet, const union session_key *key,
					  const struct session *session)
{
	struct session *standing = lookup_session(packet, key);

	if (standing) {
		*standing = *session;
		return true;
	}
	if (packet->family == 4)
		bpf_map_update_elem(&sessions4, &key->v4, session, BPF_ANY);
	else
		bpf_map_update_elem(&sessions6, &key->v6, session, BPF_ANY);
	return lookup_session(packet, key);
}

static __always_inline void forget_session(const struct packet *packet,
					   const union session_key *key)
{
	if (packet->family == 4)
		bpf_map_delete_elem(&sessions4, &key->v4);
	else
		bpf_map_delete_elem(&sessions6, &key->v6);
}

/* Follows protocols that have no states of their own. */
static __always_inline enum relation track_talk(struct session *session, __u32 sender)
{
	if (session->state == SESSION_STATE_OPENED && sender != session->opener)
		session->state = SESSION_STATE_ESTABLISHED;
	return BELONGS;
}
