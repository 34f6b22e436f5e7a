// SPDX-License-Identifier: Apache-2.0
// A route netlink socket in one namespace, and the error behind libnl's error numbers.
#pragma once

#include "failure.h"
#include "fd.h"

#include <netlink/cache.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <memory>

struct FreeMessage {
	void operator()(nl_msg *message) const
	{
		nlmsg_free(message);
	}
};
using MessagePointer = std::unique_ptr<nl_msg, FreeMessage>;

struct FreeCache {
	void operator()(nl_cache *cache) const
	{
		nl_cache_free(cache);
	}
};
using CachePointer = std::unique_ptr<nl_cache, FreeCache>;

struct FreeSocket {
	void operator()(nl_sock *socket) const
	{
		nl_socket_free(socket);
	}
};
using SocketPointer = std::unique_ptr<nl_sock, FreeSocket>;

// Calls one of libnl's functions that build a request.
template <typename Build> MessagePointer build(Build build)
{
	nl_msg *message = nullptr;
	if (int result = build(&message); result < 0)
		throw Failure(EINVAL, "build a netlink request", nl_geterror(result));
	return MessagePointer(message);
}

template <typename Object, typename Each> void for_each(const CachePointer &cache, Each each)
{
	for (nl_object *object = nl_cache_get_first(cache.get()); object;
	     object = nl_cache_get_next(object))
		each(reinterpret_cast<Object *>(object));
}

// A socket that is connected within `netns`; no call on it waits longer than 5 s.
SocketPointer connect_in(const Fd &netns);

class NetlinkSocket
{
public:
	explicit NetlinkSocket(const Fd &netns);
	NetlinkSocket(const NetlinkSocket &) = delete;

	// Sends one request and waits for its acknowledgement: 0, or a negative errno.
	int request(MessagePointer message);

	// The kernel's sentence on the last refused request, or nothing.
	const std::string &explanation() const
	{
		return answer_.explanation;
	}

	// Runs a function of libnl on this socket; the negative errno instead of libnl's error
	// number.
	template <typename Function> int call(Function function)
	{
		answer_ = {};
		return errno_of(function(socket_.get()));
	}

	// Fills a cache by one of libnl's alloc functions; again when the kernel's list changed in
	// between.
	template <typename Fill> CachePointer dump(const char *what, Fill fill)
	{
		constexpr int kTries = 10;
		nl_cache *cache = nullptr;
		int result = -EBUSY;
		for (int i = 0; i < kTries && result == -EBUSY; i++)
			result = call([&](nl_sock *sock) { return fill(sock, &cache); });
		check(result, [&] { return std::string("list ") + what; });
		return CachePointer(cache);
	}

private:
	struct Answer {
		int error = 0; // negative errno
		std::string explanation;
	};

	int errno_of(int nl_result) const;
	static int keep_answer(sockaddr_nl *peer, nlmsgerr *error, void *self);

	SocketPointer socket_;
	Answer answer_;
};
