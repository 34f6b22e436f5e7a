// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The DHCP server of a network on one host: answers the workloads of this host, in place of their
// questions.
#include "information.h"
#include "nd.h"

static __always_inline const struct client *lookup_client(struct __sk_buff *skb, mac_t *mac)
{
	if (bpf_skb_load_bytes(skb, offsetof(struct ethernet, source), mac, sizeof(*mac)))
		return NULL;
	return bpf_map_lookup_elem(&clients, mac);
}

static __always_inline void count_answer(const struct question *question)
{
	if (question->answer == MESSAGE_OFFER)
		count(DHCP_OFFERED);
	else if (question->answer == MESSAGE_NAK)
		count(DHCP_REFUSED);
	else if (question->type == MESSAGE_INFORM)
		count(DHCP_INFORMED);
	else
		count(DHCP_ACKNOWLEDGED);
}

/* What a question changes of what is known of the client. */
static __always_inline void note_verdict(const mac_t *mac, const struct client *client,
					 const struct question *question, int verdict)
{
	if (verdict == MESSAGE_ACK && question->type == MESSAGE_REQUEST)
		note_lease(mac, client->address, LEASE_STATE_BOUND);
	else if (verdict == -DHCP_RELEASED)
		note_lease(mac, client->address, LEASE_STATE_RELEASED);
	else if (verdict == -DHCP_DECLINED)
		note_lease(mac, client->address, LEASE_STATE_DECLINED);
}

/*
 * Each of these returns the length of the message that stands in the question's place and lacks its
 * headers, 0 where the packet has become an answer whole, or the negative counter under which it
 * ends.
 */

static __noinline int serve_client(struct __sk_buff *skb, struct packet *packet,
				   const struct server *self)
{
	struct question question = {};
	const struct client *client;
	int verdict;
	mac_t mac;

	if (!read_question(skb, packet, &question))
		return -CORE_MALFORMED;
	client = lookup_client(skb, &mac);
	if (question.head.relay || !mac_equals(&question.head.hardware, &mac))
		return -DHCP_ON_BEHALF;
	if (!client || !client->has_address)
		return -DHCP_UNKNOWN;
	verdict = judge(&question, client, self->ipv4);
	note_verdict(&mac, client, &question, verdict);
	if (verdict < 0)
		return verdict;
	question.answer = verdict;
	if (!write_answer(skb, packet, &question, client))
		return -CORE_NO_ROOM;
	count_answer(&question);
	return MESSAGE_LENGTH;
}

static __always_inline int serve_client6(struct __sk_buff *skb, struct packet *packet,
					 const struct server *self)
{
	const struct dhcp_config *config = lookup_config();
	mac_t mac;

	if (!config || !config->dhcpv6)
		return -DHCP_IGNORED;
	if (!lookup_client(skb, &mac))
		return -DHCP_UNKNOWN;
	return answer_information_request(skb, packet, self);
}

static __always_inline int answered(bool rewritten)
{
	if (!rewritten)
		return -CORE_NO_ROOM;
	count(DHCP_ANSWERED);
	return 0;
}

static __noinline int serve_arp(struct __sk_buff *skb, const struct server *self)
{
	struct arp_packet arp;

	if (!parse_arp(skb, &arp) || arp.operation != bpf_htons(ARP_REQUEST) ||
	    arp.target_ip != self->ipv4)
		return -DHCP_IGNORED;
	return answered(rewrite_to_arp_reply(skb, &arp, &self->mac));
}

static __noinline int serve_solicitation(struct __sk_buff *skb, const struct packet *packet,
					 const struct server *self)
{
	ip_t target;

	if (!parse_nd(skb, packet, ICMPV6_NEIGHBOUR_SOLICITATION, &target) ||
	    !ip_equals(&target, &self->link_local))
		return -DHCP_IGNORED;
	return answered(
		rewrite_to_nd_reply(skb, &packet->source, &target, &self->mac, ND_OVERRIDE));
}

static __always_inline bool is_udp(const struct packet *packet, __u16 from, __u16 to)
{
	return packet->protocol == IPPROTO_UDP && packet->fragment == WHOLE &&
	       packet->source_port == bpf_htons(from) && packet->destination_port == bpf_htons(to);
}

static __always_inline int serve(struct __sk_buff *skb, struct packet *packet,
				 const struct server *self)
{
	ip_t own = ip_of_ipv4(self->ipv4), all = ip_of_ipv4(bpf_htonl(INADDR_BROADCAST)),
	     servers = ALL_SERVERS;
	bool to_us =
		ip_equals(&packet->destination, packet->family == 4 ? &own : &self->link_local);

	if (packet->ethertype == bpf_htons(ETH_P_ARP))
		return serve_arp(skb, self);
	if (packet->family == 4 && is_udp(packet, BOOTP_CLIENT, BOOTP_SERVER) &&
	    (to_us || ip_equals(&packet->destination, &all)))
		return serve_client(skb, packet, self);
	if (packet->family == 6 && is_udp(packet, DHCPV6_CLIENT, DHCPV6_SERVER) &&
	    ip_equals(&packet->destination, &servers))
		return serve_client6(skb, packet, self);
	if (packet->family == 6 && packet->icmp_type == ICMPV6_NEIGHBOUR_SOLICITATION &&
	    is_icmp(packet))
		return serve_solicitation(skb, packet, self);
	if (to_us && is_echo_request(packet))
		return answered(rewrite_to_echo_reply(skb, packet));
	return -DHCP_IGNORED;
}

INKEV_FUNCTION(dhcp, skb)
{
	const struct server *self = lookup_server();
	struct packet packet = {};
	int verdict;

	if (!self || !parse_packet_apart(skb, &packet))
		return drop(skb, CORE_MALFORMED);
	verdict = serve(skb, &packet, self);
	if (verdict > 0 && !write_headers(skb, &packet, self, verdict))
		verdict = -CORE_NO_ROOM;
	if (verdict < 0)
		return drop(skb, -verdict);
	return forward(skb, DHCP_PORT_NETWORK);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
