// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Measures at which rates tenants send and get, where a tenant is any number of prefixes.
#include <inkev/function.h>

INKEV_ABOUT("Measures the rate of each tenant, second by second.");

INKEV_PORTS
{
	inkev_port inside INKEV_DOC("Towards workloads, whose addresses are the tenants'.");
	inkev_port outside INKEV_DOC("Towards their network.");
};

INKEV_COUNTERS
{
	inkev_counter metered INKEV_DOC("Packets of tenants.");
	inkev_counter strangers INKEV_DOC("Packets of no tenant. They pass.");
};

INKEV_TABLE(tenants, BPF_MAP_TYPE_LPM_TRIE, prefix_t, __u32, 4096)
INKEV_DOC("The number of the tenant, at most 255, that each prefix belongs to.");

#define TENANTS_MAX 256
#define SECOND	    1000000000

/* One direction of a tenant. Seconds in which nothing passed are not among its seconds. */
struct meter {
	__u64 packets;
	__u64 bytes;
	__u64 second;	     /* since boot: that of the last packet */
	__u64 second_bytes;  /* so far in it */
	bitrate_t last_rate; /* of the second before */
	bitrate_t peak_rate;
};

struct tenant {
	struct meter sent;
	struct meter got;
};

/* By tenant. Kept when another version of this program takes over. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TENANTS_MAX);
	__type(key, __u32);
	__type(value, struct tenant);
} rates SEC(".maps");

/* Packets on other CPUs are counted at the same time: one of them ends the second. */
static __always_inline void measure(struct meter *meter, struct load load)
{
	__u64 now = bpf_ktime_get_ns() / SECOND, before = meter->second;

	if (before < now && __sync_val_compare_and_swap(&meter->second, before, now) == before) {
		meter->last_rate = __sync_lock_test_and_set(&meter->second_bytes, 0) * 8;
		if (meter->last_rate > meter->peak_rate)
			meter->peak_rate = meter->last_rate;
	}
	__sync_fetch_and_add(&meter->second_bytes, load.bytes);
	__sync_fetch_and_add(&meter->bytes, load.bytes);
	__sync_fetch_and_add(&meter->packets, load.packets);
}

INKEV_FUNCTION(meter, skb)
{
	bool leaving = arrived_at(skb) == PORT(inside);
	prefix_t whose = {.length = 128};
	struct tenant *tenant;
	struct packet packet;
	__u32 *number;

	if (!parse_packet(skb, &packet))
		return drop(skb, CORE_MALFORMED);
	if (packet.family == 0)
		return pass_through(skb, !leaving);
	whose.address = leaving ? packet.source : packet.destination;
	number = bpf_map_lookup_elem(&tenants, &whose);
	tenant = number ? bpf_map_lookup_elem(&rates, number) : NULL;
	count(tenant ? COUNTER(metered) : COUNTER(strangers));
	if (tenant)
		measure(leaving ? &tenant->sent : &tenant->got, load_on_wire(skb, &packet));
	return pass_through(skb, !leaving);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
