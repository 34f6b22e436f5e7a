// SPDX-License-Identifier: Apache-2.0
// Network devices: listing, creation, change, deletion, and the watch on them.
#include "netlink.h"

#include "address.h"
#include "netns.h"
#include "value.h"
#include "watch.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/link/vxlan.h>
#include <netlink/socket.h>
#include <sys/ioctl.h>

struct PutLink {
	void operator()(rtnl_link *link) const
	{
		rtnl_link_put(link);
	}
};
using LinkPointer = std::unique_ptr<rtnl_link, PutLink>;

// EINVAL for what the kernel would refuse and libnl would cut.
static std::string interface_name(Napi::Object options, const char *property)
{
	std::string name = to_text(options.Get(property), property);
	if (name.empty() || name.size() >= IFNAMSIZ)
		throw Failure(EINVAL, "name an interface " + quoted(name),
			      "the name must have 1 to 15 characters");
	return name;
}

static const char *creation_reason(int error)
{
	return error == EEXIST ? "name is taken" : nullptr;
}

static Napi::Value describe(Napi::Env env, rtnl_link *link)
{
	auto text = [](const char *value) { return value ? value : ""; };
	auto state = Napi::Object::New(env);
	int32_t peer_netns = -1;
	if (rtnl_link_get_link_netnsid(link, &peer_netns) < 0)
		peer_netns = -1;

	state["ifindex"] = rtnl_link_get_ifindex(link);
	state["name"] = text(rtnl_link_get_name(link));
	state["kind"] = text(rtnl_link_get_type(link));
	state["mac"] = format_mac(rtnl_link_get_addr(link));
	state["mtu"] = rtnl_link_get_mtu(link);
	state["up"] = (rtnl_link_get_flags(link) & IFF_UP) != 0;
	state["carrier"] = rtnl_link_get_carrier(link) != 0;
	state["peer"] = rtnl_link_get_link(link);
	state["peerNetnsId"] = peer_netns;
	state["master"] = rtnl_link_get_master(link);
	state["alias"] = text(rtnl_link_get_ifalias(link));
	return state;
}

// Nothing when there is no such link.
static LinkPointer find(NetlinkSocket &socket, uint32_t ifindex, const std::string &name)
{
	rtnl_link *link = nullptr;
	if (name.size() >= IFNAMSIZ)
		return nullptr;

	int result = socket.call([&](nl_sock *sock) {
		return rtnl_link_get_kernel(sock, ifindex, name.empty() ? nullptr : name.c_str(),
					    &link);
	});
	if (result != -ENODEV)
		check(result, [&] {
			return "read interface " +
			       (name.empty() ? std::to_string(ifindex) : quoted(name));
		});
	return LinkPointer(link);
}

static LinkPointer find(NetlinkSocket &socket, Napi::Value name_or_index)
{
	if (name_or_index.IsNumber())
		return find(socket, to_number(name_or_index, "nameOrIndex"), "");
	return find(socket, 0, to_text(name_or_index, "nameOrIndex"));
}

std::string Netlink::interface_label(uint32_t ifindex)
{
	LinkPointer link = find(socket(), ifindex, "");
	return "interface " +
	       (link ? quoted(rtnl_link_get_name(link.get())) : std::to_string(ifindex));
}

Napi::Value Netlink::links(const Napi::CallbackInfo &info)
{
	auto list = Napi::Array::New(info.Env());
	CachePointer cache = socket().dump("links", [](nl_sock *sock, nl_cache **cache) {
		return rtnl_link_alloc_cache(sock, AF_UNSPEC, cache);
	});
	for_each<rtnl_link>(
		cache, [&](rtnl_link *link) { list[list.Length()] = describe(info.Env(), link); });
	return list;
}

Napi::Value Netlink::link(const Napi::CallbackInfo &info)
{
	LinkPointer link = find(socket(), info[0]);
	return link ? describe(info.Env(), link.get()) : info.Env().Undefined();
}

uint32_t Netlink::create_link(const std::string &operation, rtnl_link *link)
{
	request(
		build([&](nl_msg **message) {
			return rtnl_link_build_add_request(link, NLM_F_CREATE | NLM_F_EXCL,
							   message);
		}),
		[&] { return operation; }, creation_reason);
	return index_of(rtnl_link_get_name(link), operation);
}

uint32_t Netlink::index_of(const std::string &name, const std::string &operation)
{
	LinkPointer link = find(socket(), 0, name);
	if (!link)
		throw Failure(ENODEV, operation, "it was deleted meanwhile");
	return rtnl_link_get_ifindex(link.get());
}

static void set_mac(rtnl_link *link, const std::optional<std::string> &mac)
{
	if (mac)
		rtnl_link_set_addr(link, parse_mac(*mac).get());
}

static void set_mtu(rtnl_link *link, std::optional<uint32_t> mtu)
{
	if (mtu)
		rtnl_link_set_mtu(link, *mtu);
}

uint32_t Netlink::create_veth(const Napi::CallbackInfo &info)
{
	Napi::Object options = to_object(info[0], "options");
	std::string name = interface_name(options, "name"),
		    peer_name = interface_name(options, "peerName");
	LinkPointer link(rtnl_link_veth_alloc()), peer(rtnl_link_veth_get_peer(link.get()));
	auto mtu = number_option(options, "mtu");

	rtnl_link_set_name(link.get(), name.c_str());
	rtnl_link_set_name(peer.get(), peer_name.c_str());
	set_mac(link.get(), text_option(options, "mac"));
	set_mac(peer.get(), text_option(options, "peerMac"));
	set_mtu(link.get(), mtu);
	set_mtu(peer.get(), mtu);
	if (Napi::Value netns = options.Get("peerNetns"); !netns.IsUndefined())
		rtnl_link_set_ns_fd(peer.get(),
				    Netns::unwrap(netns, "peerNetns").resource().fd.get());

	return create_link("create veth pair " + quoted(name) + "/" + quoted(peer_name),
			   link.get());
}

uint32_t Netlink::create_vxlan(const Napi::CallbackInfo &info)
{
	Napi::Object options = to_object(info[0], "options");
	std::string name = interface_name(options, "name");
	LinkPointer link(rtnl_link_vxlan_alloc());
	// RFC 7348, section 5: those of dynamic ports.
	ifla_vxlan_port_range flow_ports = {htons(0xc000), htons(0xffff)};

	rtnl_link_set_name(link.get(), name.c_str());
	rtnl_link_vxlan_set_collect_metadata(link.get(), 1);
	rtnl_link_vxlan_set_learning(link.get(), 0);
	rtnl_link_vxlan_set_port(link.get(), to_number(options.Get("port"), "port"));
	rtnl_link_vxlan_set_port_range(link.get(), &flow_ports);
	rtnl_link_vxlan_set_udp_zero_csum6_rx(link.get(), 1);
	set_mtu(link.get(), number_option(options, "mtu"));

	return create_link("create vxlan device " + quoted(name), link.get());
}

uint32_t Netlink::create_bridge(const Napi::CallbackInfo &info)
{
	std::string name = interface_name(to_object(info[0], "options"), "name");
	LinkPointer link(rtnl_link_alloc());

	rtnl_link_set_name(link.get(), name.c_str());
	rtnl_link_set_type(link.get(), "bridge");
	return create_link("create bridge " + quoted(name), link.get());
}

static void create_persistent_tap(const std::string &name, const std::string &operation)
{
	auto describe = [&] { return operation; };
	ifreq request = {};
	request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL);
	name.copy(request.ifr_name, IFNAMSIZ - 1);

	Fd tun(check_errno(open("/dev/net/tun", O_RDWR | O_CLOEXEC), describe));
	int result = ioctl(tun.get(), TUNSETIFF, &request);
	if (result < 0 && errno == EBUSY) // because of IFF_TUN_EXCL
		throw Failure(EEXIST, operation, "name is taken");
	check_errno(result, describe);
	check_errno(ioctl(tun.get(), TUNSETPERSIST, 1), describe);
}

uint32_t Netlink::create_tap(const Napi::CallbackInfo &info)
{
	std::string name = interface_name(to_object(info[0], "options"), "name");
	std::string operation = "create tap device " + quoted(name);

	in_netns(resource().netns, [&] { create_persistent_tap(name, operation); });
	return index_of(name, operation);
}

bool Netlink::delete_link(const Napi::CallbackInfo &info)
{
	LinkPointer link = find(socket(), info[0]);
	if (!link)
		return false;

	return request_unless(
		ENODEV, build([&](nl_msg **message) {
			return rtnl_link_build_delete_request(link.get(), message);
		}),
		[&] { return "delete interface " + quoted(rtnl_link_get_name(link.get())); });
}

// A group that nobody else uses: the kernel deletes a group in one go.
static constexpr uint32_t kDoomed = 0x646f6f6d;

static int delete_group(nl_msg **message)
{
	ifinfomsg header = {};
	*message = nlmsg_alloc_simple(RTM_DELLINK, 0);
	nlmsg_append(*message, &header, sizeof(header), NLMSG_ALIGNTO);
	return nla_put_u32(*message, IFLA_GROUP, kDoomed);
}

void Netlink::delete_links(const Napi::CallbackInfo &info)
{
	auto indexes = info[0].As<Napi::Array>();
	bool any = false;

	for (uint32_t i = 0; i < indexes.Length(); i++) {
		uint32_t ifindex = to_number(indexes.Get(i), "ifindex");
		LinkPointer target(rtnl_link_alloc()), change(rtnl_link_alloc());
		rtnl_link_set_ifindex(target.get(), ifindex);
		rtnl_link_set_group(change.get(), kDoomed);
		any |= request_unless(ENODEV, build([&](nl_msg **message) {
					      return rtnl_link_build_change_request(
						      target.get(), change.get(), 0, message);
				      }),
				      [&] { return "delete " + interface_label(ifindex); });
	}
	if (any)
		request_unless(ENODEV, build(delete_group), [] { return "delete interfaces"; });
}

static void set_flag(rtnl_link *link, unsigned flag, bool on)
{
	if (on)
		rtnl_link_set_flags(link, flag);
	else
		rtnl_link_unset_flags(link, flag);
}

void Netlink::set_link(const Napi::CallbackInfo &info)
{
	uint32_t ifindex = to_number(info[0], "ifindex");
	Napi::Object options = to_object(info[1], "change");
	LinkPointer target(rtnl_link_alloc()), change(rtnl_link_alloc());
	rtnl_link_set_ifindex(target.get(), ifindex);

	if (auto up = flag_option(options, "up"))
		set_flag(change.get(), IFF_UP, *up);
	if (auto arp = flag_option(options, "arp"))
		set_flag(change.get(), IFF_NOARP, !*arp);
	set_mtu(change.get(), number_option(options, "mtu"));
	set_mac(change.get(), text_option(options, "mac"));
	if (auto master = number_option(options, "master"))
		rtnl_link_set_master(change.get(), *master);
	if (auto alias = text_option(options, "alias"))
		rtnl_link_set_ifalias(change.get(), alias->c_str());
	if (!options.Get("name").IsUndefined())
		rtnl_link_set_name(change.get(), interface_name(options, "name").c_str());
	if (Napi::Value netns = options.Get("netns"); !netns.IsUndefined())
		rtnl_link_set_ns_fd(change.get(),
				    Netns::unwrap(netns, "netns").resource().fd.get());

	request(
		build([&](nl_msg **message) {
			return rtnl_link_build_change_request(target.get(), change.get(), 0,
							      message);
		}),
		[&] { return "change " + interface_label(ifindex); }, creation_reason);
}

static Napi::Value event(Napi::Env env, const char *type, int ifindex, const char *name)
{
	auto event = Napi::Object::New(env);
	event["type"] = type;
	event["ifindex"] = ifindex;
	event["name"] = name;
	return event;
}

// Undefined for a message that tells nothing about a device itself, as of a bridge's port.
static Napi::Value link_event(Napi::Env env, nlmsghdr *message)
{
	auto header = static_cast<ifinfomsg *>(nlmsg_data(message));
	bool gone = message->nlmsg_type == RTM_DELLINK;
	if ((!gone && message->nlmsg_type != RTM_NEWLINK) || header->ifi_family != AF_UNSPEC)
		return env.Undefined();

	nlattr *name = nlmsg_find_attr(message, sizeof(*header), IFLA_IFNAME);
	return event(env, gone ? "link_gone" : "link", header->ifi_index,
		     name ? nla_get_string(name) : "");
}

static void read_link_events(int fd, Napi::Function callback, const std::function<bool()> &open)
{
	Napi::Env env = callback.Env();
	alignas(nlmsghdr) char buffer[65536];

	while (open()) {
		int length = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
		if (length < 0 && errno == ENOBUFS) {
			callback.Call({event(env, "lost", 0, "")});
			continue;
		}
		if (length <= 0)
			return;

		auto message = reinterpret_cast<nlmsghdr *>(buffer);
		for (; nlmsg_ok(message, length) && open(); message = nlmsg_next(message, &length))
			if (Napi::Value change = link_event(env, message); !change.IsUndefined())
				callback.Call({change});
	}
}

Napi::Value Netlink::watch(const Napi::CallbackInfo &info)
{
	Napi::Function callback = to_function(info[0], "onChange");
	std::shared_ptr<nl_sock> sock(connect_in(resource().netns));
	if (int result = nl_socket_add_membership(sock.get(), RTNLGRP_LINK); result < 0)
		throw Failure(EIO, "watch links", nl_geterror(result));

	int fd = nl_socket_get_fd(sock.get()), buffer_size = 4 << 20;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_size, sizeof(buffer_size));
	auto drain = [sock, fd](Napi::Function callback, const std::function<bool()> &open) {
		read_link_events(fd, callback, open);
	};
	return Watch::create(info.Env(), WatchResource(info.Env(), "links", callback, fd, drain));
}
