// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The function that takes packets to other hosts, by VXLAN. A network asks it: cb[3] is the remote
// host, cb[4] the VNI.
#include "icmp.h"
#include "tick.h"
#include "tunnel.h"

/* UDP source ports, by which the underlay spreads flows over its links (RFC 7348, section 5). */
#define FLOW_PORT_FIRST 0xc000
#define FLOW_PORTS	0x3fff

#define AF_INET	 2
#define AF_INET6 10

/*
 * How packets get to a remote host, by its number: from the kernel's routes and neighbours. All
 * that is the same in the headers of each is written there once. The checksum, IPv4's own or UDP's
 * over IPv6, is the sum of it.
 */
struct path {
	__u64 looked_up;   /* in ticks; 0: never */
	ifindex_t ifindex; /* 0: flows take several ways, which only the kernel's routes know */
	__u32 mtu;
	union {
		struct vxlan_headers headers;
		struct vxlan_headers_ipv6 headers_ipv6;
	};
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PEERS_MAX);
	__type(key, __u32);
	__type(value, struct path);
} paths SEC(".maps");

/* What is known for this packet: where from, where to, and by what way. */
struct trip {
	const struct host *self;
	const struct peer *peer;
	struct path *path;
	ifindex_t ifindex;		 /* where it leaves */
	struct bpf_redir_neigh next_hop; /* of family 0: that of the path's headers */
};

static __always_inline vni_t vni_of(const struct __sk_buff *skb)
{
	return skb->cb[4];
}

static __always_inline bool has_ipv4_underlay(const struct trip *trip)
{
	return ip_is_ipv4(&trip->peer->vtep);
}

/* The kernel's vxlan device takes any frame, resolves neighbours and fragments what must be. */
static __noinline int send_by_kernel(struct __sk_buff *skb, const struct trip *trip)
{
	if (!set_tunnel(skb, trip->self, trip->peer, vni_of(skb)))
		return drop(skb, CORE_NO_ROOM);
	skb->mark = 0;
	return bpf_redirect(trip->self->vxlan, 0);
}

/* What all packets of a path have in common. */
static __always_inline struct vxlan_headers common_headers(const struct trip *trip,
							   const struct bpf_fib_lookup *route)
{
	struct vxlan_headers headers = {
		.ethernet.type = bpf_htons(ETH_P_IP),
		.ip.version = 4,
		.ip.ihl = 5,
		.ip.frag_off = bpf_htons(IP_DF),
		.ip.ttl = TUNNEL_TTL,
		.ip.protocol = IPPROTO_UDP,
		.ip.saddr = trip->self->vtep.word[3],
		.ip.daddr = trip->peer->vtep.word[3],
		.udp.dest = trip->self->vxlan_port,
		.vxlan.flags = bpf_htonl(VXLAN_HAS_VNI),
	};

	headers.ip.check = fold_sum(sum_words(&headers.ip, sizeof(headers.ip)));
	headers.ethernet.destination = *(const mac_t *)route->dmac;
	headers.ethernet.source = *(const mac_t *)route->smac;
	return headers;
}

static __always_inline struct vxlan_headers_ipv6
common_headers_ipv6(const struct trip *trip, const struct bpf_fib_lookup *route)
{
	const struct host *self = trip->self;
	const struct peer *peer = trip->peer;
	struct vxlan_headers_ipv6 headers = {
		.ethernet.type = bpf_htons(ETH_P_IPV6),
		.ip.version = 6,
		.ip.nexthdr = IPPROTO_UDP,
		.ip.hop_limit = TUNNEL_TTL,
		.udp.dest = self->vxlan_port,
		.vxlan.flags = bpf_htonl(VXLAN_HAS_VNI),
	};

	*(ip_t *)(void *)&headers.ip.saddr = self->vtep;
	*(ip_t *)(void *)&headers.ip.daddr = peer->vtep;
	headers.udp.check = fold_sum(sum_pseudo_header(&self->vtep, &peer->vtep, IPPROTO_UDP, 0) +
				     sum_words(&headers.udp, sizeof(headers.udp)) +
				     sum_words(&headers.vxlan, sizeof(headers.vxlan)));
	headers.ethernet.destination = *(const mac_t *)route->dmac;
	headers.ethernet.source = *(const mac_t *)route->smac;
	return headers;
}

/* The source port is the flow's, as the kernel's vxlan device chooses it: what the two send of one
 * flow stays on one way. */
static __always_inline port_t flow_port(struct __sk_buff *skb)
{
	__u32 hash = bpf_get_hash_recalc(skb);

	hash ^= hash << 16;
	return bpf_htons(FLOW_PORT_FIRST + ((__u64)hash * FLOW_PORTS >> 32));
}

/*
 * A question for the kernel's routes. It is asked as of a packet that came in by the replica
 * device, since the kernel routes for those only that have forwarding on, and the uplink need not.
 */
static __always_inline struct bpf_fib_lookup ask_route(const struct trip *trip)
{
	struct bpf_fib_lookup route = {.ifindex = trip->self->replica, .tot_len = 1};

	if (has_ipv4_underlay(trip)) {
		route.family = AF_INET;
		route.ipv4_src = trip->self->vtep.word[3];
		route.ipv4_dst = trip->peer->vtep.word[3];
	} else {
		route.family = AF_INET6;
		*(ip_t *)route.ipv6_src = trip->self->vtep;
		*(ip_t *)route.ipv6_dst = trip->peer->vtep;
	}
	return route;
}

/* The same question for the flow with that source port. False: the routes have no answer. */
static __always_inline bool ask_flow_route(struct __sk_buff *skb, const struct trip *trip,
					   port_t source_port, struct bpf_fib_lookup *route)
{
	*route = ask_route(trip);
	route->l4_protocol = IPPROTO_UDP;
	route->sport = source_port;
	route->dport = trip->self->vxlan_port;
	return bpf_fib_lookup(skb, route, sizeof(*route), BPF_FIB_LOOKUP_SKIP_NEIGH) ==
	       BPF_FIB_LKUP_RET_SUCCESS;
}

/* Flows of which the kernel is asked whether all take one way. Of two equal ways one is overlooked
 * in 2^15 routes. */
#define PROBED_FLOWS 16

/* Whether the kernel's routes lead flows to the host by several devices or next hops. */
static __noinline bool has_several_ways(struct __sk_buff *skb, const struct trip *trip)
{
	struct bpf_fib_lookup route;
	ifindex_t ifindex = 0;
	ip_t next_hop = {};

	if (trip->self->uplinks > 1)
		return true;
	for (__u32 n = 0; n < PROBED_FLOWS; n++) {
		const ip_t *found = (void *)route.ipv6_dst;
		__u32 port = FLOW_PORT_FIRST + n * FLOW_PORTS / PROBED_FLOWS;

		if (!ask_flow_route(skb, trip, bpf_htons(port), &route))
			return false;
		if (n > 0 && (route.ifindex != ifindex || !ip_equals(found, &next_hop)))
			return true;
		ifindex = route.ifindex;
		next_hop = *found;
	}
	return false;
}

/*
 * Asks the kernel's routes anew, and its neighbours where all flows take one way. False if they
 * have no answer yet.
 */
static __noinline bool look_up_path(struct __sk_buff *skb, const struct trip *trip, bool one_way)
{
	__u32 flags = one_way ? 0 : BPF_FIB_LOOKUP_SKIP_NEIGH;
	struct bpf_fib_lookup route = ask_route(trip);
	struct path *path = trip->path;

	if (bpf_fib_lookup(skb, &route, sizeof(route), flags) != BPF_FIB_LKUP_RET_SUCCESS)
		return false;
	path->ifindex = one_way ? route.ifindex : 0;
	path->mtu = route.mtu_result;
	if (has_ipv4_underlay(trip))
		path->headers = common_headers(trip, &route);
	else
		path->headers_ipv6 = common_headers_ipv6(trip, &route);
	path->looked_up = bpf_jiffies64();
	return true;
}

/*
 * Where flows take several ways, the kernel's routes say for each packet by which it leaves: what
 * they choose for its flow, and no longer than the link is up. Its MTU; 0 if they have no answer.
 */
static __noinline __u32 look_up_way(struct __sk_buff *skb, struct trip *trip)
{
	struct bpf_fib_lookup route;

	if (!ask_flow_route(skb, trip, flow_port(skb), &route))
		return 0;
	trip->ifindex = route.ifindex;
	trip->next_hop.nh_family = route.family;
	*(ip_t *)trip->next_hop.ipv6_nh = *(ip_t *)route.ipv6_dst;
	return route.mtu_result;
}

/*
 * Finds out where the packet leaves, and its MTU there; 0 if that is not known. `stale`: the path
 * is too old to tell.
 */
static __always_inline __u32 find_way(struct __sk_buff *skb, struct trip *trip, bool stale)
{
	if (unlikely(stale && !look_up_path(skb, trip, !has_several_ways(skb, trip))))
		return 0;
	trip->ifindex = trip->path->ifindex;
	if (unlikely(!trip->ifindex))
		return look_up_way(skb, trip);
	return trip->path->mtu;
}

/* What an IP packet to that host may measure where the underlay carries `mtu` bytes. */
static __always_inline __u32 mtu_inside(const struct trip *trip, __u32 mtu)
{
	return mtu - (has_ipv4_underlay(trip) ? VXLAN_OVERHEAD : VXLAN_OVERHEAD_IPV6);
}

enum fit {
	FITS,
	FITS_IN_PIECES, /* IPv4 without DF, over IPv4: the kernel fragments the outer packet */
	ANSWERED, /* too large: the packet has become the error that tells its sender the MTU */
	TOO_BIG,  /* and of a kind that draws no errors */
	MALFORMED,
};

/*
 * Looks closely at a packet that is large, or a train of segments. The error comes from the address
 * that the sender has written to. A function of its own: most packets are small.
 */
static __noinline enum fit fit_into(struct __sk_buff *skb, __u32 mtu, bool in_pieces)
{
	struct packet packet;

	if (!parse_packet(skb, &packet))
		return MALFORMED;
	if (length_on_wire(skb, &packet) <= mtu)
		return FITS;
	if (!packet.dont_fragment && in_pieces)
		return FITS_IN_PIECES;
	if (rewrite_to_icmp_error(skb, &packet, PROBLEM_TOO_BIG, mtu, &packet.destination))
		return ANSWERED;
	return TOO_BIG;
}

/* The answer comes back into the network as if the remote host had sent it. */
static __always_inline int send_back(struct __sk_buff *skb, const struct trip *trip)
{
	const struct tunnel *tunnel = lookup_tunnel(vni_of(skb), &trip->peer->vtep);

	if (!tunnel)
		return drop(skb, CORE_TOO_BIG);
	count(CORE_TOO_BIG);
	return leave(skb, read_attachment(&tunnel->network));
}

/* The first bytes of the frame to be sent. */
struct inner_headers {
	struct ethernet ethernet;
	__u8 ip[2];
};

/* RFC 6040: the underlay may mark congestion where the inner packet allows it. */
static __always_inline __u8 ecn_of(const struct inner_headers *inner)
{
	__u8 traffic_class = inner->ip[1];

	if (inner->ethernet.type == bpf_htons(ETH_P_IPV6))
		traffic_class >>= 4;
	return traffic_class & ECN_MASK;
}

static __always_inline struct vxlan_headers
make_headers(struct __sk_buff *skb, const struct trip *trip, const struct inner_headers *inner)
{
	__u32 length = skb->len + VXLAN_OVERHEAD - sizeof(struct ethernet);
	struct vxlan_headers headers;

	copy_words(&headers, &trip->path->headers, sizeof(headers));
	headers.ip.tos = ecn_of(inner);
	headers.ip.tot_len = bpf_htons(length);
	headers.ip.check =
		~fold_sum((__u64)headers.ip.check + headers.ip.tot_len + bpf_htons(headers.ip.tos));
	headers.udp.source = flow_port(skb);
	headers.udp.len = bpf_htons(length - sizeof(struct iphdr));
	headers.vxlan.vni = bpf_htonl(vni_of(skb) << VXLAN_VNI_SHIFT);
	headers.inner = inner->ethernet;
	return headers;
}

/* `looked_up`: the path is fresh from the kernel, so the packet goes through its neighbour table,
 * to keep the entry alive. */
static __always_inline int depart(struct __sk_buff *skb, const struct trip *trip, bool looked_up)
{
	skb->mark = 0;
	if (unlikely(trip->next_hop.nh_family))
		return bpf_redirect_neigh(trip->ifindex, (void *)&trip->next_hop,
					  sizeof(trip->next_hop), 0);
	if (unlikely(looked_up))
		return bpf_redirect_neigh(trip->ifindex, NULL, 0, 0);
	return bpf_redirect(trip->ifindex, 0);
}

/* Writes the outer headers into their room. Few packets carry a device's sum: see note_change(). */
static __always_inline bool store_headers(struct __sk_buff *skb, const void *headers, __u32 size)
{
	if (unlikely(read_summed(skb) == CHECKSUM_COMPLETE))
		return store_frame(skb, headers, size);
	return !bpf_skb_store_bytes(skb, 0, headers, size, 0);
}

static __always_inline int encapsulate(struct __sk_buff *skb, const struct trip *trip,
				       const struct inner_headers *inner, bool looked_up)
{
	struct vxlan_headers headers = make_headers(skb, trip, inner);

	if (unlikely(bpf_skb_adjust_room(skb, VXLAN_OVERHEAD, BPF_ADJ_ROOM_MAC, ENCAPSULATION)))
		return send_by_kernel(skb, trip);
	if (unlikely(!store_headers(skb, &headers, sizeof(headers))))
		return drop(skb, CORE_NO_ROOM);
	return depart(skb, trip, looked_up);
}

#define SUM_UNKNOWN (~0ULL)

/* Frames with their transport header's first bytes. */
struct frame_ipv4 {
	struct ethernet ethernet;
	struct iphdr ip;
	struct udphdr udp;
} __attribute__((packed, aligned(2)));

struct frame_ipv6 {
	struct ethernet ethernet;
	struct ipv6hdr ip;
	struct udphdr udp;
} __attribute__((packed, aligned(2)));

static __always_inline bool is_summed(protocol_t protocol, const struct udphdr *udp)
{
	return protocol == IPPROTO_TCP || (protocol == IPPROTO_UDP && udp->check);
}

/* As sum_frame(); the IPv4 header itself sums to nothing, and ICMP has no pseudo header. */
static __always_inline __u64 sum_ipv4(struct __sk_buff *skb)
{
	struct frame_ipv4 buffer, *frame = read_bytes(skb, 0, &buffer, sizeof(buffer));
	__u64 pseudo;

	if (!frame || frame->ip.version != 4 || frame->ip.ihl != 5 ||
	    frame->ip.frag_off & bpf_htons(IP_MF | IP_OFFSET) ||
	    skb->len != ETH_HLEN + bpf_ntohs(frame->ip.tot_len))
		return SUM_UNKNOWN;
	if (frame->ip.protocol == IPPROTO_ICMP)
		return sum_words(&frame->ethernet, sizeof(frame->ethernet));
	if (!is_summed(frame->ip.protocol, &frame->udp))
		return SUM_UNKNOWN;
	pseudo = (__u64)frame->ip.saddr + frame->ip.daddr + bpf_htonl(frame->ip.protocol) +
		 bpf_htonl(skb->len - offsetof(struct frame_ipv4, udp));
	return sum_words(&frame->ethernet, sizeof(frame->ethernet)) + (__u16)~fold_sum(pseudo);
}

/* As sum_frame(); the addresses are in the IPv6 header and in the pseudo header. */
static __always_inline __u64 sum_ipv6(struct __sk_buff *skb)
{
	struct frame_ipv6 buffer, *frame = read_bytes(skb, 0, &buffer, sizeof(buffer));
	__u64 pseudo;

	if (!frame || frame->ip.version != 6 ||
	    skb->len != offsetof(struct frame_ipv6, udp) + bpf_ntohs(frame->ip.payload_len) ||
	    !(frame->ip.nexthdr == IPPROTO_ICMPV6 || is_summed(frame->ip.nexthdr, &frame->udp)))
		return SUM_UNKNOWN;
	pseudo = bpf_htonl(frame->ip.nexthdr) + (__u64)frame->ip.payload_len;
	return sum_words(&frame->ethernet, sizeof(frame->ethernet)) +
	       sum_words(&frame->ip, offsetof(struct ipv6hdr, saddr)) + (__u16)~fold_sum(pseudo);
}

/*
 * The sum of all words of a frame, without a look at its payload: TCP, UDP and ICMP with their
 * checksum and their pseudo header sum to nothing, or will when the kernel has completed a pending
 * one. If the packet arrives damaged here, it arrives damaged there. SUM_UNKNOWN: a fragment, a
 * packet that nothing sums up, or one that does not fill its frame.
 */
static __always_inline __u64 sum_frame(struct __sk_buff *skb, const struct inner_headers *inner)
{
	return inner->ethernet.type == bpf_htons(ETH_P_IP) ? sum_ipv4(skb) : sum_ipv6(skb);
}

/*
 * UDP over IPv6 has a checksum, as plain Linux takes no VXLAN without one (RFC 6935 leaves it to
 * the receiver). A train of segments needs one for each, which only the kernel's device can ask
 * for.
 */
static __noinline int encapsulate_ipv6(struct __sk_buff *skb, const struct trip *trip,
				       const struct inner_headers *inner, bool looked_up)
{
	__u64 sum = skb->gso_size ? SUM_UNKNOWN : sum_frame(skb, inner);
	struct vxlan_headers_ipv6 headers;

	if (sum == SUM_UNKNOWN)
		return send_by_kernel(skb, trip);
	__builtin_memcpy(&headers, &trip->path->headers_ipv6, sizeof(headers));
	headers.ip.flow_lbl[0] = ecn_of(inner) << 4;
	headers.ip.payload_len = bpf_htons(skb->len + VXLAN_OVERHEAD_IPV6 -
					   sizeof(struct ethernet) - sizeof(struct ipv6hdr));
	headers.udp.source = flow_port(skb);
	headers.udp.len = headers.ip.payload_len;
	headers.vxlan.vni = bpf_htonl(vni_of(skb) << VXLAN_VNI_SHIFT);
	headers.inner = inner->ethernet;
	sum += (__u64)headers.udp.check + headers.udp.source + 2 * headers.udp.len +
	       headers.vxlan.vni;
	headers.udp.check = ~fold_sum(sum) ?: 0xffff;
	if (unlikely(bpf_skb_adjust_room(skb, VXLAN_OVERHEAD_IPV6, BPF_ADJ_ROOM_MAC,
					 ENCAPSULATION_IPV6)))
		return send_by_kernel(skb, trip);
	if (unlikely(!store_headers(skb, &headers, sizeof(headers))))
		return drop(skb, CORE_NO_ROOM);
	return depart(skb, trip, looked_up);
}

/* A route and a next hop are believed for a second. */
static __always_inline bool is_stale(const struct path *path)
{
	return bpf_jiffies64() - path->looked_up > ticks_in_second();
}

/* An IP packet. */
static __always_inline int send(struct __sk_buff *skb, struct trip *trip,
				const struct inner_headers *inner)
{
	bool stale = is_stale(trip->path);
	enum fit fit = FITS;
	__u32 mtu = find_way(skb, trip, stale);

	if (unlikely(!mtu))
		return send_by_kernel(skb, trip);
	mtu = mtu_inside(trip, mtu);
	if (unlikely(skb->gso_size || skb->len > mtu + ETH_HLEN))
		fit = fit_into(skb, mtu, has_ipv4_underlay(trip));
	if (fit == ANSWERED)
		return send_back(skb, trip);
	if (fit == TOO_BIG || fit == MALFORMED)
		return drop(skb, fit == TOO_BIG ? CORE_TOO_BIG : CORE_MALFORMED);
	if (unlikely(fit == FITS_IN_PIECES))
		return send_by_kernel(skb, trip);
	if (unlikely(!has_ipv4_underlay(trip)))
		return encapsulate_ipv6(skb, trip, inner, stale);
	return encapsulate(skb, trip, inner, stale);
}

INKEV_FUNCTION(overlay, skb)
{
	__u32 number = skb->cb[3];
	struct trip trip = {
		.self = lookup_host(),
		.peer = bpf_map_lookup_elem(&peers, &number),
		.path = bpf_map_lookup_elem(&paths, &number),
	};
	struct inner_headers buffer, *inner;

	if (unlikely(!trip.self || !trip.peer || !trip.path || !number))
		return drop(skb, CORE_NO_TUNNEL);
	inner = read_bytes(skb, 0, &buffer, sizeof(buffer));
	if (unlikely(!inner))
		return drop(skb, CORE_MALFORMED);
	if (unlikely(skb->vlan_present || !is_ip(&inner->ethernet)))
		return send_by_kernel(skb, &trip);
	copy_words(&buffer, inner, sizeof(buffer));
	return send(skb, &trip, &buffer);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
