/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Answers to DHCPv4 questions, written over them. */
#pragma once

#include "question.h"
#include "icmp.h"

#define DATAGRAM_LENGTH (sizeof(struct udphdr) + MESSAGE_LENGTH)
#define MESSAGE_OFFSET	(L3_OFFSET + sizeof(struct iphdr) + sizeof(struct udphdr))
/* The value of the first option, which says what the message is. */
#define TYPE_OFFSET (MESSAGE_OFFSET + OPTIONS_OFFSET + 2)

/* The sum of a message's bytes; what the frame has behind it is none of it. */
static __always_inline __u64 sum_message(struct __sk_buff *skb, __u32 offset, __u32 length)
{
	__u16 rest = sum_to_end(skb, offset + length);

	if (length & 1)
		rest = __builtin_bswap16(rest);
	return (__u64)sum_to_end(skb, offset) + (__u16)~rest;
}

/*
 * Writes the headers before a message of `length` bytes that stands in the packet already: from the
 * server to the client's address, which is packet->source. The last that is to be done; from the
 * program itself, as the stack would not do for more.
 */
static __noinline bool write_headers(struct __sk_buff *skb, const struct packet *packet,
				     const struct server *self, __u32 length)
{
	ip_t from = packet->family == 4 ? ip_of_ipv4(self->ipv4) : self->link_local;
	__u32 l4 = L3_OFFSET + reply_ip_length(packet), datagram = sizeof(struct udphdr) + length;
	struct udphdr udp = {
		.source = packet->destination_port,
		.dest = packet->source_port,
		.len = bpf_htons(datagram),
	};
	mac_t client;
	__u64 sum;

	sum = sum_pseudo_header(&from, &packet->source, IPPROTO_UDP, datagram) +
	      sum_words(&udp, sizeof(udp)) + sum_message(skb, l4 + sizeof(udp), length);
	udp.check = ~fold_sum(sum);
	if (!udp.check)
		udp.check = 0xffff;
	return !bpf_skb_load_bytes(skb, offsetof(struct ethernet, source), &client,
				   sizeof(client)) &&
	       !bpf_skb_store_bytes(skb, l4, &udp, sizeof(udp), BPF_F_RECOMPUTE_CSUM) &&
	       write_reply_headers(skb, packet, &from, IPPROTO_UDP, datagram) &&
	       rewrite_macs(skb, &client, &self->mac) && neutralize_pending_checksum(skb);
}

static __always_inline enum answer_kind kind_of_answer(const struct question *question)
{
	if (question->answer == MESSAGE_NAK)
		return ANSWER_KIND_REFUSAL;
	return question->type == MESSAGE_INFORM ? ANSWER_KIND_INFORMATION : ANSWER_KIND_LEASE;
}

/* Where an answer is sent: RFC 2131 4.1. The frame goes to the client's MAC in any case. */
static __always_inline ipv4_t destination_of(const struct bootp *answer, __u8 type)
{
	if (type == MESSAGE_NAK)
		return bpf_htonl(INADDR_BROADCAST);
	if (answer->client)
		return answer->client;
	return answer->flags & bpf_htons(BOOTP_BROADCAST) ? bpf_htonl(INADDR_BROADCAST)
							  : answer->yours;
}

/* The beginning of the answer, from that of the question: RFC 2131 4.3.1. */
static __always_inline void answer_head(struct question *question, const struct client *client)
{
	struct bootp *head = &question->head;

	head->operation = BOOTP_REPLY;
	head->hops = 0;
	head->seconds = 0;
	head->next_server = 0;
	head->yours = 0;
	if (question->answer != MESSAGE_ACK)
		head->client = 0;
	if (question->answer != MESSAGE_NAK && question->type != MESSAGE_INFORM)
		head->yours = client->address;
}

/*
 * Writes the message, of type question->answer, over the packet, and where it is to be sent to
 * packet->source. write_headers() goes on.
 */
static __noinline bool write_answer(struct __sk_buff *skb, struct packet *packet,
				    struct question *question, const struct client *client)
{
	enum answer_kind kind = kind_of_answer(question);
	const struct answer *answer = bpf_map_lookup_elem(&answers, &kind);
	__u32 length;

	if (!answer || !resize_packet(skb, MESSAGE_OFFSET + MESSAGE_LENGTH))
		return false;
	answer_head(question, client);
	packet->source = ip_of_ipv4(destination_of(&question->head, question->answer));
	length = answer->length;
	if (length > MESSAGE_LENGTH - sizeof(question->id))
		return false;
	return !bpf_skb_store_bytes(skb, MESSAGE_OFFSET, answer->bytes, MESSAGE_LENGTH,
				    BPF_F_RECOMPUTE_CSUM) &&
	       !bpf_skb_store_bytes(skb, MESSAGE_OFFSET, &question->head, sizeof(question->head),
				    BPF_F_RECOMPUTE_CSUM) &&
	       !bpf_skb_store_bytes(skb, TYPE_OFFSET, &question->answer, sizeof(question->answer),
				    BPF_F_RECOMPUTE_CSUM) &&
	       !bpf_skb_store_bytes(skb, MESSAGE_OFFSET + length, &question->id,
				    sizeof(question->id), BPF_F_RECOMPUTE_CSUM);
}
