// SPDX-License-Identifier: Apache-2.0
// Netlink: links, addresses, routes and neighbours of one network namespace.
#pragma once

#include "handle.h"
#include "netlink_socket.h"

struct rtnl_link;

struct NetlinkResource {
	Fd netns;
	std::unique_ptr<NetlinkSocket> socket;

	explicit NetlinkResource(Fd netns);
	std::string label() const
	{
		return "netlink socket";
	}
};

class Netlink : public Handle<Netlink, NetlinkResource>
{
public:
	static constexpr const char *kClassName = "Netlink";
	static std::vector<Napi::ClassPropertyDescriptor<Netlink>> members();

	using Handle::Handle;

private:
	// netlink_link.cc
	Napi::Value links(const Napi::CallbackInfo &info);
	Napi::Value link(const Napi::CallbackInfo &info);
	uint32_t create_veth(const Napi::CallbackInfo &info);
	uint32_t create_vxlan(const Napi::CallbackInfo &info);
	uint32_t create_tap(const Napi::CallbackInfo &info);
	uint32_t create_bridge(const Napi::CallbackInfo &info);
	bool delete_link(const Napi::CallbackInfo &info);
	void delete_links(const Napi::CallbackInfo &info);
	void set_link(const Napi::CallbackInfo &info);
	Napi::Value watch(const Napi::CallbackInfo &info);

	// netlink_address.cc
	Napi::Value addresses(const Napi::CallbackInfo &info);
	void add_address(const Napi::CallbackInfo &info);
	bool delete_address(const Napi::CallbackInfo &info);
	Napi::Value routes(const Napi::CallbackInfo &info);
	void add_route(const Napi::CallbackInfo &info);
	bool delete_route(const Napi::CallbackInfo &info);
	Napi::Value neighbours(const Napi::CallbackInfo &info);
	void add_neighbour(const Napi::CallbackInfo &info);
	bool delete_neighbour(const Napi::CallbackInfo &info);

	// netlink.cc
	std::string sysctl(const Napi::CallbackInfo &info);

	NetlinkSocket &socket() const
	{
		return *resource().socket;
	}

	// Performs a request. `describe` gives the operation of the error; `reason` may replace the
	// kernel's words.
	template <typename Describe>
	void request(MessagePointer message, Describe describe,
		     const char *(*reason)(int) = nullptr)
	{
		if (int result = socket().request(std::move(message)); result < 0)
			refuse(-result, describe, reason ? reason(-result) : nullptr);
	}

	// As `request`; false when the kernel answers with the errno `absent`: the thing is not
	// there.
	template <typename Describe>
	bool request_unless(int absent, MessagePointer message, Describe describe)
	{
		int result = socket().request(std::move(message));
		if (result < 0 && result != -absent)
			refuse(-result, describe, nullptr);
		return result >= 0;
	}

	template <typename Describe>
	[[noreturn]] void refuse(int error, Describe describe, const char *reason)
	{
		std::string explanation = reason ? reason : socket().explanation();
		throw Failure(error, describe(), explanation);
	}

	// Creates a link; its index.
	uint32_t create_link(const std::string &operation, rtnl_link *link);
	uint32_t index_of(const std::string &name, const std::string &operation);

	// interface "eth0", or interface 7 when it has no name any more: for errors.
	std::string interface_label(uint32_t ifindex);
	std::string route_label(Napi::Object options);
	std::string neighbour_label(Napi::Object options);
};

// net.open(netns?)
Napi::Value open_netlink(const Napi::CallbackInfo &info);
