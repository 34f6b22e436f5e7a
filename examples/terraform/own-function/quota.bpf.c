// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Counts the bytes that a workload exchanges with each remote address, and stops those beyond a
// quota.
#include <inkev/function.h>

INKEV_ABOUT("Counts the bytes exchanged with each remote address, up to a quota.");

INKEV_PORTS
{
	inkev_port inside INKEV_DOC("Towards the workload.");
	inkev_port outside INKEV_DOC("Towards its network.");
};

INKEV_COUNTERS
{
	inkev_counter passed INKEV_DOC("Packets that passed.");
	inkev_counter over_quota INKEV_DOC("Packets beyond a quota.");
};

INKEV_CONFIG
{
	bool_t enforce INKEV_DOC("Whether packets beyond a quota are dropped, not only counted.")
		INKEV_DEFAULT("true");
};

/* Bytes, by remote address. */
INKEV_TABLE(quotas, BPF_MAP_TYPE_HASH, ip_t, __u64, 1024)
INKEV_DOC("Bytes that may be exchanged with an address; any number with one that is not here.");

/* Bytes so far. Kept when another version of this program takes over. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, ip_t);
	__type(value, __u64);
} used SEC(".maps");

static __always_inline __u64 add_used(const ip_t *remote, __u64 bytes)
{
	__u64 *so_far = bpf_map_lookup_elem(&used, remote);

	if (so_far)
		return __sync_fetch_and_add(so_far, bytes) + bytes;
	bpf_map_update_elem(&used, remote, &bytes, BPF_NOEXIST);
	return bytes;
}

INKEV_FUNCTION(quota, skb)
{
	const struct inkev_config *config = lookup_config();
	__u32 port = arrived_at(skb);
	struct packet packet;
	ip_t remote;
	__u64 *allowed, bytes;

	if (!config || !parse_packet(skb, &packet))
		return drop(skb, CORE_MALFORMED);
	if (packet.family == 0)
		return pass_through(skb, port);
	remote = port == PORT(inside) ? packet.destination : packet.source;
	bytes = add_used(&remote, packet.length);
	allowed = bpf_map_lookup_elem(&quotas, &remote);
	if (allowed && bytes > *allowed && config->enforce)
		return drop(skb, COUNTER(over_quota));
	count(COUNTER(passed));
	return pass_through(skb, port);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
