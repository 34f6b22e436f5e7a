/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a DHCPv4 client asks (RFC 2131, 2132), and which message answers it. */
#pragma once

#include "tables.h"

#define BOOTP_REQUEST	1
#define BOOTP_REPLY	2
#define BOOTP_ETHERNET	1
#define BOOTP_BROADCAST 0x8000
#define DHCP_COOKIE	0x63825363

/* Steps along the options: more than any message that is meant well has. */
#define OPTION_STEPS 512
/* A longer identifier is not repeated. */
#define ID_MAX 64

enum dhcp_message {
	MESSAGE_DISCOVER = 1,
	MESSAGE_OFFER,
	MESSAGE_REQUEST,
	MESSAGE_DECLINE,
	MESSAGE_ACK,
	MESSAGE_NAK,
	MESSAGE_RELEASE,
	MESSAGE_INFORM,
};

enum dhcp_option {
	OPTION_PAD = 0,
	OPTION_REQUESTED = 50,
	OPTION_TYPE = 53,
	OPTION_SERVER = 54,
	OPTION_ID = 61,
	OPTION_END = 255,
};

/* How a message begins. */
struct bootp {
	__u8 operation;
	__u8 hardware_type;
	__u8 hardware_length;
	__u8 hops;
	__be32 transaction;
	__be16 seconds;
	__be16 flags;
	ipv4_t client; /* the address that the client uses already */
	ipv4_t yours;  /* the address that it is to use */
	ipv4_t next_server;
	ipv4_t relay;
	mac_t hardware;
	__u8 padding[10];
};

/* Where the options begin: behind `sname`, `file` and the cookie. */
#define OPTIONS_OFFSET (sizeof(struct bootp) + 64 + 128 + sizeof(__be32))

/* The option that the answer repeats (RFC 6842), if there is one, and the end. */
struct client_id {
	__u8 code;
	__u8 length;
	__u8 bytes[ID_MAX + 1];
};

struct question {
	struct bootp head;
	ipv4_t requested;
	ipv4_t server;
	struct client_id id;
	__u8 type;
	__u8 answer; /* type of the message that answers it */
};

struct option_walk {
	struct __sk_buff *skb;
	__u32 offset;
	__u32 end;
	__u32 id; /* where the identifier is */
	ipv4_t requested;
	ipv4_t server;
	__u8 id_length;
	__u8 type;
	bool malformed;
};

/* Keeps what an option says, whose value is `length` bytes at an offset; false if it cannot be. */
static __always_inline bool keep_option(struct option_walk *walk, __u8 code, __u32 offset,
					__u8 length)
{
	switch (code) {
	case OPTION_TYPE:
		return length == sizeof(walk->type) &&
		       !bpf_skb_load_bytes(walk->skb, offset, &walk->type, sizeof(walk->type));
	case OPTION_REQUESTED:
		return length == sizeof(ipv4_t) &&
		       !bpf_skb_load_bytes(walk->skb, offset, &walk->requested, sizeof(ipv4_t));
	case OPTION_SERVER:
		return length == sizeof(ipv4_t) &&
		       !bpf_skb_load_bytes(walk->skb, offset, &walk->server, sizeof(ipv4_t));
	case OPTION_ID:
		walk->id = offset;
		walk->id_length = length;
		return true;
	default:
		return true;
	}
}

/* One step of the loop; 1 ends it. */
static long read_option(__u32 n, struct option_walk *walk)
{
	__u8 option[2] = {OPTION_END};
	__u32 value = walk->offset + sizeof(option);

	if (walk->offset >= walk->end)
		return 1;
	if (bpf_skb_load_bytes(walk->skb, walk->offset, option, 1) || option[0] == OPTION_END)
		return 1;
	if (option[0] == OPTION_PAD) {
		walk->offset++;
		return 0;
	}
	walk->malformed = true;
	if (bpf_skb_load_bytes(walk->skb, walk->offset, option, sizeof(option)) ||
	    value + option[1] > walk->end || !keep_option(walk, option[0], value, option[1]))
		return 1;
	walk->malformed = false;
	walk->offset = value + option[1];
	return 0;
}

static __always_inline void read_id(const struct option_walk *walk, struct client_id *id)
{
	__u32 length = walk->id_length;

	id->code = OPTION_END;
	if (length < 1 || length > ID_MAX ||
	    bpf_skb_load_bytes(walk->skb, walk->id, id->bytes, length))
		return;
	id->code = OPTION_ID;
	id->length = length;
	id->bytes[length] = OPTION_END;
}

/* Reads the message of a UDP packet to the server's port; false if it is none of a client on
 * Ethernet. Options in `sname` and `file` are not looked for: questions are short. */
static __always_inline bool read_question(struct __sk_buff *skb, const struct packet *packet,
					  struct question *question)
{
	struct option_walk walk = {.skb = skb,
				   .offset = packet->payload + OPTIONS_OFFSET,
				   .end = packet->l3 + packet->length};
	__be32 cookie;

	if (bpf_skb_load_bytes(skb, packet->payload, &question->head, sizeof(question->head)) ||
	    bpf_skb_load_bytes(skb, walk.offset - sizeof(cookie), &cookie, sizeof(cookie)) ||
	    cookie != bpf_htonl(DHCP_COOKIE) || question->head.operation != BOOTP_REQUEST ||
	    question->head.hardware_type != BOOTP_ETHERNET ||
	    question->head.hardware_length != ETH_ALEN)
		return false;
	bpf_loop(OPTION_STEPS, read_option, &walk, 0);
	if (walk.malformed || !walk.type)
		return false;
	question->type = walk.type;
	question->requested = walk.requested;
	question->server = walk.server;
	read_id(&walk, &question->id);
	return true;
}

/* A request names the address that was offered, that it had before a restart, or that it has. */
static __always_inline int judge_request(const struct question *question,
					 const struct client *client)
{
	ipv4_t claimed = question->requested ? question->requested : question->head.client;

	if (!claimed)
		return -CORE_MALFORMED;
	return claimed == client->address ? MESSAGE_ACK : MESSAGE_NAK;
}

/* The message that answers a client's question, or the negative counter under which it ends. */
static __always_inline int judge(const struct question *question, const struct client *client,
				 ipv4_t own)
{
	if (question->server && question->server != own)
		return -DHCP_NOT_CHOSEN;
	switch (question->type) {
	case MESSAGE_DISCOVER:
		return MESSAGE_OFFER;
	case MESSAGE_REQUEST:
		return judge_request(question, client);
	case MESSAGE_INFORM:
		return question->head.client ? MESSAGE_ACK : -CORE_MALFORMED;
	case MESSAGE_RELEASE:
		return question->head.client == client->address ? -DHCP_RELEASED : -DHCP_IGNORED;
	case MESSAGE_DECLINE:
		return question->requested == client->address ? -DHCP_DECLINED : -DHCP_IGNORED;
	default:
		return -DHCP_IGNORED;
	}
}
