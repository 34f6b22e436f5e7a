/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Follows TCP connections from the middle: what each segment is to its session, and what the
 * session learns from it. */
#pragma once

#include "session.h"

/*
 * The states are RFC 9293's as far as they can be seen from the middle. The window rules are those
 * of G. van Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (2001); resets and stray SYNs
 * are judged as RFC 5961 tells the ends to.
 */

/* Acknowledgements may lag this far behind whatever window was offered. */
#define TCP_LATE_ACK 66000
/* What is in flight on one CPU while another looks on is less. */
#define TCP_RACE (1 << 20)
/* RFC 7323. A SYN without the option is told by a scale that no option can have. */
#define TCP_SCALE_MAX	14
#define TCP_SCALE_NONE	15
#define TCP_OPTIONS_MAX 40

/* The flags by which a segment opens, ends or carries on. */
#define TCP_TURNS (TCP_SYN | TCP_FIN | TCP_RST)

struct tcp_segment {
	__u32 begin; /* sequence number of the first byte; SYN and FIN count as one */
	__u32 end;   /* behind the last */
	__u32 ack;
	__u32 window; /* unscaled */
	__u32 flags;  /* enum tcp_flag */
	__u32 scale;  /* what a SYN says of its sender's window scale */
};

/* Sequence numbers go round. */
static __always_inline bool is_after(__u32 a, __u32 b)
{
	return (__s32)(a - b) > 0;
}

static __always_inline bool is_between(__u32 low, __u32 value, __u32 high)
{
	return !is_after(low, value) && !is_after(value, high);
}

/* Whether these flags can stand together: SYN, SYN-ACK, RST, RST-ACK, ACK, FIN-ACK. */
static __always_inline bool are_possible(__u32 flags)
{
	const __u32 possible = 1 << TCP_SYN | 1 << TCP_RST | 1 << TCP_ACK |
			       1 << (TCP_SYN | TCP_ACK) | 1 << (TCP_RST | TCP_ACK) |
			       1 << (TCP_FIN | TCP_ACK);

	return possible >> (flags & (TCP_TURNS | TCP_ACK)) & 1;
}

struct tcp_option_walk {
	__u8 options[TCP_OPTIONS_MAX + 2];
	__u32 length;
	__u32 at;
	__u32 scale;
};

static long read_option(__u32 n, struct tcp_option_walk *walk)
{
	__u32 at = walk->at;

	if (at >= walk->length || at >= TCP_OPTIONS_MAX || walk->options[at] == 0)
		return 1;
	if (walk->options[at] == 1) {
		walk->at = at + 1;
		return 0;
	}
	if (walk->options[at] == 3 && walk->options[at + 1] == 3) {
		walk->scale = walk->options[at + 2] < TCP_SCALE_MAX ? walk->options[at + 2]
								    : TCP_SCALE_MAX;
		return 1;
	}
	walk->at = at + walk->options[at + 1];
	return walk->options[at + 1] < 2;
}

/*
 * The functions below that are not inline are global: the verifier walks them once and not for
 * every caller.
 */

/* The window scale option of a SYN whose options fill `length` bytes from `offset`. */
__noinline __u32 parse_window_scale(struct __sk_buff *skb, __u32 offset, __u32 length)
{
	struct tcp_option_walk walk = {.length = length, .scale = TCP_SCALE_NONE};

	if (length == 0 || length > TCP_OPTIONS_MAX ||
	    bpf_skb_load_bytes(skb, offset, walk.options, length))
		return TCP_SCALE_NONE;
	bpf_loop(TCP_OPTIONS_MAX, read_option, &walk, 0);
	return walk.scale & 0xf;
}

/* Reads a TCP header, with `length` bytes from its beginning to the end of the packet. */
static __always_inline void read_segment(struct tcp_segment *segment, const struct tcphdr *tcp,
					 __u32 length)
{
	segment->flags = ((const __u8 *)tcp)[13];
	segment->begin = bpf_ntohl(tcp->seq);
	segment->end = segment->begin + length - tcp->doff * 4;
	if (segment->flags & (TCP_SYN | TCP_FIN))
		segment->end++;
	segment->ack = bpf_ntohl(tcp->ack_seq);
	segment->window = bpf_ntohs(tcp->window);
	segment->scale = TCP_SCALE_NONE;
}

/* The same of a parsed packet that is no later fragment, and a SYN's window scale. */
__noinline bool parse_segment(struct __sk_buff *skb, const struct packet *packet,
			      struct tcp_segment *segment)
{
	struct tcphdr buffer, *tcp;

	if (!packet || !segment)
		return false;
	tcp = read_bytes(skb, packet->l4, &buffer, sizeof(buffer));
	if (!tcp)
		return false;
	read_segment(segment, tcp, packet->l3 + packet->length - packet->l4);
	if (segment->flags & TCP_SYN)
		segment->scale = parse_window_scale(skb, packet->l4 + sizeof(*tcp),
						    packet->payload - packet->l4 - sizeof(*tcp));
	return true;
}

static __always_inline __u32 scale_of(const struct session *session, __u32 end)
{
	return end == INSIDE ? session->scales & 0xf : session->scales >> 4;
}

static __always_inline struct tcp_end *end_of(struct session *session, __u32 port)
{
	return &session->end[port & 1];
}

/* Begins a session with a SYN; or with a segment from a connection's middle, whose windows can then
 * not be known. */
static __always_inline void open_tcp(struct session *session, __u32 sender,
				     const struct tcp_segment *segment)
{
	struct tcp_end *from = end_of(session, sender), *to = end_of(session, !sender);

	from->sent = segment->end;
	if (segment->flags & TCP_SYN) {
		from->window = segment->window;
		to->acked = segment->begin + 1; /* at least: a SYN may bring data (RFC 7413) */
		session->scales = segment->scale | segment->scale << 4;
		return;
	}
	from->acked = to->sent = segment->ack;
	to->acked = segment->begin;
	session->state = SESSION_STATE_ESTABLISHED;
	session->flags = SESSION_UNCHECKED;
}

/* Learns from the answer to the opener's SYN: a SYN-ACK, or the SYN of one who opens at the same
 * time. */
static __always_inline void answer_tcp(struct session *session, __u32 sender,
				       const struct tcp_segment *segment)
{
	struct tcp_end *from = end_of(session, sender), *to = end_of(session, !sender);
	__u32 scale = scale_of(session, !sender);

	if (segment->flags & TCP_ACK)
		from->acked = segment->ack;
	from->sent = segment->end;
	from->window = segment->window;
	to->acked = segment->begin + 1;
	if (scale == TCP_SCALE_NONE || segment->scale == TCP_SCALE_NONE)
		session->scales = 0;
	else
		session->scales = sender == INSIDE ? segment->scale | scale << 4
						   : scale | segment->scale << 4;
	session->state = SESSION_STATE_ANSWERED;
}

/* Both ends have forgotten the session that stands here, and begin another: its windows are not
 * known. */
static __always_inline void reopen_tcp(struct session *session, __u32 sender,
				       const struct tcp_segment *segment)
{
	struct tcp_end *from = end_of(session, sender), *to = end_of(session, !sender);

	from->sent = segment->end;
	from->acked = to->sent = segment->ack;
	to->acked = segment->begin + 1;
	session->state = SESSION_STATE_ANSWERED;
	session->flags = SESSION_UNCHECKED;
}

/*
 * How far an end's partner may go on from what the end has acknowledged. Its window is taken to be
 * the largest that was offered, as windows seldom shrink; and as much is added, up to TCP_RACE,
 * since segments that two CPUs handle at once may overwrite what one of them has just learnt.
 */
static __always_inline __u32 room_of(const struct tcp_end *end)
{
	return end->window + (end->window < TCP_RACE ? end->window : TCP_RACE);
}

/* Whether the sequence number lies where the other end has room, or had. */
static __always_inline bool is_expected(const struct tcp_end *from, const struct tcp_end *to,
					__u32 begin, __u32 end)
{
	return !is_after(begin, to->acked + room_of(to)) &&
	       !is_after(from->sent - room_of(to), end);
}

static __always_inline bool is_in_window(struct session *session, __u32 sender,
					 const struct tcp_segment *segment)
{
	const struct tcp_end *from = end_of(session, sender), *to = end_of(session, !sender);
	__u32 late = from->window > TCP_LATE_ACK ? from->window : TCP_LATE_ACK;

	if (!is_expected(from, to, segment->begin, segment->end) ||
	    is_after(from->acked - late, segment->ack))
		return false;
	return !is_after(segment->ack, to->sent) ||
	       !is_after(segment->ack, from->acked + room_of(from));
}

/* Learns from a segment of an answered session. */
static __always_inline void advance_tcp(struct session *session, __u32 sender,
					const struct tcp_segment *segment)
{
	struct tcp_end *from = end_of(session, sender), *to = end_of(session, !sender);
	__u32 window = segment->window << scale_of(session, sender);

	if (is_after(segment->end, from->sent))
		from->sent = segment->end;
	if (is_after(segment->ack, from->acked))
		from->acked = segment->ack;
	if (is_after(segment->ack, to->sent))
		to->sent = segment->ack;
	if (window > from->window)
		from->window = window;
}

/* Whether it acknowledges the opener's SYN, with or without the data that came along. */
static __always_inline bool answers_syn(struct session *session, const struct tcp_segment *segment)
{
	const struct tcp_end *opener = end_of(session, session->opener),
			     *other = end_of(session, !session->opener);

	return segment->flags & TCP_ACK && is_between(other->acked, segment->ack, opener->sent);
}

static __always_inline enum relation track_syn(struct session *session, __u32 sender,
					       const struct tcp_segment *segment)
{
	bool again = segment->end == end_of(session, sender)->sent;

	if (session->state == SESSION_STATE_CLOSED ||
	    (session->flags & SESSION_BOTH_FIN) == SESSION_BOTH_FIN)
		return OPENS;
	if (sender == session->opener) {
		if (again)
			return BELONGS;
		if (session->state == SESSION_STATE_OPENED)
			return OPENS;
		session->flags |= SESSION_REOPENING;
		return BELONGS;
	}
	if (session->state == SESSION_STATE_OPENED)
		answer_tcp(session, sender, segment);
	else if (!again)
		return CONTRADICTS;
	return BELONGS;
}

static __always_inline enum relation track_syn_ack(struct session *session, __u32 sender,
						   const struct tcp_segment *segment, bool checked)
{
	if (session->state == SESSION_STATE_OPENED) {
		if (sender == session->opener || !answers_syn(session, segment))
			return CONTRADICTS;
		answer_tcp(session, sender, segment);
		return BELONGS;
	}
	if (!checked || is_in_window(session, sender, segment))
		return BELONGS;
	if (!(session->flags & SESSION_REOPENING) || sender == session->opener)
		return CONTRADICTS;
	reopen_tcp(session, sender, segment);
	return BELONGS;
}

/* A reset ends the session only if its receiver will believe it at once; any other from inside the
 * window draws a challenge. */
static __always_inline enum relation track_reset(struct session *session, __u32 sender,
						 const struct tcp_segment *segment, bool checked)
{
	const struct tcp_end *from = end_of(session, sender), *to = end_of(session, !sender);

	if (session->state == SESSION_STATE_OPENED) {
		if (sender == session->opener ? !is_between(to->acked, segment->begin, from->sent)
					      : !answers_syn(session, segment))
			return CONTRADICTS;
	} else if (checked && segment->begin != from->sent && segment->begin != to->acked) {
		return is_expected(from, to, segment->begin, segment->begin) ? BELONGS
									     : CONTRADICTS;
	}
	session->state = SESSION_STATE_CLOSED;
	return BELONGS;
}

/* Acknowledgements, data and FIN. A closed session lets its last ones through, and learns nothing
 * more. */
static __always_inline enum relation track_stream(struct session *session, __u32 sender,
						  const struct tcp_segment *segment, bool checked)
{
	const struct tcp_end *local = end_of(session, INSIDE), *remote = end_of(session, OUTSIDE);

	if (session->state == SESSION_STATE_OPENED ||
	    (checked && !is_in_window(session, sender, segment)))
		return CONTRADICTS;
	if (session->state == SESSION_STATE_CLOSED)
		return BELONGS;
	advance_tcp(session, sender, segment);
	if (sender == session->opener) {
		session->flags &= ~SESSION_REOPENING;
		if (session->state == SESSION_STATE_ANSWERED)
			session->state = SESSION_STATE_ESTABLISHED;
	}
	if (segment->flags & TCP_FIN) {
		session->flags |= 1 << (sender & 1);
		session->state = SESSION_STATE_CLOSING;
	}
	if ((session->flags & SESSION_BOTH_FIN) == SESSION_BOTH_FIN &&
	    local->acked == remote->sent && remote->acked == local->sent)
		session->state = SESSION_STATE_CLOSED;
	return BELONGS;
}

/* Whether a segment with these flags can only carry an established session on. */
static __always_inline bool is_mid_stream(const struct session *session, __u32 flags)
{
	return session->state == SESSION_STATE_ESTABLISHED && !session->flags &&
	       (flags & (TCP_TURNS | TCP_ACK)) == TCP_ACK;
}

/* What a segment is to the session that stands under its key. `strict`: it must lie in the window
 * as well. */
__noinline enum relation track_tcp(struct session *session, __u32 sender,
				   const struct tcp_segment *segment, bool strict)
{
	bool checked;

	if (!session || !segment || !are_possible(segment->flags))
		return CONTRADICTS;
	checked = strict && !(session->flags & SESSION_UNCHECKED);
	if (segment->flags & TCP_RST)
		return track_reset(session, sender, segment, checked);
	if (!(segment->flags & TCP_SYN))
		return track_stream(session, sender, segment, checked);
	if (segment->flags & TCP_ACK)
		return track_syn_ack(session, sender, segment, checked);
	return track_syn(session, sender, segment);
}
