// SPDX-License-Identifier: Apache-2.0
// Ring buffers: records from programs, as they come.
#include "bpf_ring.h"

#include "bpf_map.h"
#include "value.h"
#include "watch.h"

#include <bpf/libbpf.h>

struct FreeRing {
	void operator()(ring_buffer *ring) const
	{
		ring_buffer__free(ring);
	}
};

// Programs may write as fast as they are read: after so many bytes the event loop has its turn.
constexpr size_t kPassBytes = 256 << 10;

// A ring buffer, and the records that one pass over it found.
struct Ring {
	Fd map; // its own, as the caller may close the map
	std::unique_ptr<ring_buffer, FreeRing> ring;
	std::vector<std::string> records;
	size_t bytes = 0;

	// A negative answer ends the pass behind this record.
	static int keep(void *self, void *data, size_t size)
	{
		Ring *ring = static_cast<Ring *>(self);
		ring->records.emplace_back(static_cast<const char *>(data), size);
		ring->bytes += size;
		return ring->bytes < kPassBytes ? 0 : -1;
	}
};

Napi::Value watch_ring_buffer(const Napi::CallbackInfo &info)
{
	BpfMap &map = BpfMap::unwrap(info[0], "map");
	Napi::Function callback = to_function(info[1], "onRecord");
	auto ring = std::make_shared<Ring>();

	ring->map = duplicate(map.resource().fd.get());
	ring->ring.reset(ring_buffer__new(ring->map.get(), Ring::keep, ring.get(), nullptr));
	if (!ring->ring)
		throw Failure(errno, "read ring buffer " + map.label());

	auto drain = [ring](Napi::Function callback, const std::function<bool()> &open) {
		ring_buffer__consume(ring->ring.get());
		std::vector<std::string> records = std::move(ring->records);
		ring->records.clear();
		ring->bytes = 0;
		for (const std::string &record : records)
			if (open())
				callback.Call(
					{to_buffer(callback.Env(), record.data(), record.size())});
	};
	int fd = ring_buffer__epoll_fd(ring->ring.get());
	return Watch::create(info.Env(),
			     WatchResource(info.Env(), map.label(), callback, fd, drain));
}
