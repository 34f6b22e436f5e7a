// SPDX-License-Identifier: Apache-2.0
// The netlink handle itself, and what all its requests share.
#include "netlink.h"

#include "netns.h"
#include "value.h"

#include <fcntl.h>

NetlinkResource::NetlinkResource(Fd owned)
	: netns(std::move(owned)), socket(std::make_unique<NetlinkSocket>(netns))
{
}

Napi::Value open_netlink(const Napi::CallbackInfo &info)
{
	Fd netns = info[0].IsUndefined()
			   ? own_netns()
			   : duplicate(Netns::unwrap(info[0], "netns").resource().fd.get());
	return Netlink::create(info.Env(), NetlinkResource(std::move(netns)));
}

std::vector<Napi::ClassPropertyDescriptor<Netlink>> Netlink::members()
{
	return {
		method<&Netlink::links>("links"),
		method<&Netlink::link>("link"),
		method<&Netlink::create_veth>("createVeth"),
		method<&Netlink::create_vxlan>("createVxlan"),
		method<&Netlink::create_tap>("createTap"),
		method<&Netlink::create_bridge>("createBridge"),
		method<&Netlink::delete_link>("deleteLink"),
		method<&Netlink::delete_links>("deleteLinks"),
		method<&Netlink::set_link>("setLink"),
		method<&Netlink::addresses>("addresses"),
		method<&Netlink::add_address>("addAddress"),
		method<&Netlink::delete_address>("deleteAddress"),
		method<&Netlink::routes>("routes"),
		method<&Netlink::add_route>("addRoute"),
		method<&Netlink::delete_route>("deleteRoute"),
		method<&Netlink::neighbours>("neighbours"),
		method<&Netlink::add_neighbour>("addNeighbour"),
		method<&Netlink::delete_neighbour>("deleteNeighbour"),
		method<&Netlink::sysctl>("sysctl"),
		method<&Netlink::watch>("watch"),
	};
}

static std::string read_line(const std::string &path, const std::string &operation)
{
	char text[4096];
	Fd fd(check_errno(open(path.c_str(), O_RDONLY | O_CLOEXEC), [&] { return operation; }));
	int length = check_errno(read(fd.get(), text, sizeof(text)), [&] { return operation; });
	while (length > 0 && text[length - 1] == '\n')
		length--;
	return std::string(text, length);
}

static void write_line(const std::string &path, const std::string &value,
		       const std::string &operation)
{
	Fd fd(check_errno(open(path.c_str(), O_WRONLY | O_CLOEXEC), [&] { return operation; }));
	check_errno(write(fd.get(), value.data(), value.size()), [&] { return operation; });
}

std::string Netlink::sysctl(const Napi::CallbackInfo &info)
{
	std::string name = to_text(info[0], "name");
	bool writes = !info[1].IsUndefined();
	std::string operation = (writes ? "write sysctl " : "read sysctl ") + name;
	std::string path = "/proc/sys/net/" + name, value = writes ? to_text(info[1], "value") : "";

	if (name.find("..") != name.npos)
		throw Failure(EINVAL, operation, "the name leads outside /proc/sys/net");

	// The kernel resolves /proc/sys/net by the network namespace of the thread that opens the
	// file.
	in_netns(resource().netns, [&] {
		if (writes)
			write_line(path, value, operation);
		value = read_line(path, operation);
	});
	return value;
}
