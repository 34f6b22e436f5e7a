// SPDX-License-Identifier: Apache-2.0
// Addresses, routes and neighbours.
#include "netlink.h"

#include "address.h"
#include "value.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>

struct PutObject {
	void operator()(rtnl_addr *address) const
	{
		rtnl_addr_put(address);
	}
	void operator()(rtnl_route *route) const
	{
		rtnl_route_put(route);
	}
	void operator()(rtnl_neigh *neighbour) const
	{
		rtnl_neigh_put(neighbour);
	}
};
using AddrPointer = std::unique_ptr<rtnl_addr, PutObject>;
using RoutePointer = std::unique_ptr<rtnl_route, PutObject>;
using NeighbourPointer = std::unique_ptr<rtnl_neigh, PutObject>;

// Whether the optional argument `ifindex` selects this interface.
static bool selects(Napi::Value ifindex, uint32_t candidate)
{
	return ifindex.IsUndefined() || to_number(ifindex, "ifindex") == candidate;
}

static bool is_ip(int family)
{
	return family == AF_INET || family == AF_INET6;
}

Napi::Value Netlink::addresses(const Napi::CallbackInfo &info)
{
	auto list = Napi::Array::New(info.Env());
	CachePointer cache = socket().dump("addresses", rtnl_addr_alloc_cache);
	for_each<rtnl_addr>(cache, [&](rtnl_addr *address) {
		uint32_t ifindex = rtnl_addr_get_ifindex(address);
		int family = rtnl_addr_get_family(address);
		if (!is_ip(family) || !selects(info[0], ifindex))
			return;

		auto state = Napi::Object::New(info.Env());
		state["ifindex"] = ifindex;
		state["address"] = format_cidr(rtnl_addr_get_local(address),
					       rtnl_addr_get_prefixlen(address), family);
		list[list.Length()] = state;
	});
	return list;
}

static AddrPointer interface_address(uint32_t ifindex, const std::string &text)
{
	AddrPointer address(rtnl_addr_alloc());
	AddressPointer local = parse_address(text);

	rtnl_addr_set_ifindex(address.get(), ifindex);
	rtnl_addr_set_local(address.get(), local.get());
	return address;
}

void Netlink::add_address(const Napi::CallbackInfo &info)
{
	uint32_t ifindex = to_number(info[0], "ifindex");
	std::string text = to_text(info[1], "address");
	AddrPointer address = interface_address(ifindex, text);
	if (rtnl_addr_get_family(address.get()) == AF_INET6)
		rtnl_addr_set_flags(address.get(), IFA_F_NODAD); // usable at once

	request(
		build([&](nl_msg **message) {
			return rtnl_addr_build_add_request(address.get(), NLM_F_CREATE | NLM_F_EXCL,
							   message);
		}),
		[&] { return "add address " + text + " to " + interface_label(ifindex); },
		[](int error) { return error == EEXIST ? "it is there already" : nullptr; });
}

bool Netlink::delete_address(const Napi::CallbackInfo &info)
{
	uint32_t ifindex = to_number(info[0], "ifindex");
	std::string text = to_text(info[1], "address");
	AddrPointer address = interface_address(ifindex, text);

	return request_unless(
		EADDRNOTAVAIL, build([&](nl_msg **message) {
			return rtnl_addr_build_delete_request(address.get(), 0, message);
		}),
		[&] { return "delete address " + text + " from " + interface_label(ifindex); });
}

static Napi::Object describe_route(Napi::Env env, rtnl_route *route, rtnl_nexthop *nexthop)
{
	nl_addr *destination = rtnl_route_get_dst(route);
	auto state = Napi::Object::New(env);

	state["destination"] = format_cidr(destination,
					   destination ? nl_addr_get_prefixlen(destination) : 0,
					   rtnl_route_get_family(route));
	if (nl_addr *gateway = rtnl_route_nh_get_gateway(nexthop))
		state["gateway"] = format_address(gateway);
	state["ifindex"] = rtnl_route_nh_get_ifindex(nexthop);
	state["table"] = rtnl_route_get_table(route);
	state["protocol"] = rtnl_route_get_protocol(route);
	return state;
}

Napi::Value Netlink::routes(const Napi::CallbackInfo &info)
{
	auto list = Napi::Array::New(info.Env());
	CachePointer cache = socket().dump("routes", [](nl_sock *sock, nl_cache **cache) {
		return rtnl_route_alloc_cache(sock, AF_UNSPEC, 0, cache);
	});
	for_each<rtnl_route>(cache, [&](rtnl_route *route) {
		for (int i = 0; i < rtnl_route_get_nnexthops(route); i++) {
			rtnl_nexthop *nexthop = rtnl_route_nexthop_n(route, i);
			if (selects(info[0], rtnl_route_nh_get_ifindex(nexthop)))
				list[list.Length()] = describe_route(info.Env(), route, nexthop);
		}
	});
	return list;
}

static RoutePointer read_route(Napi::Object options)
{
	RoutePointer route(rtnl_route_alloc());
	AddressPointer destination =
		parse_address(to_text(options.Get("destination"), "destination"));
	rtnl_nexthop *nexthop = rtnl_route_nh_alloc(); // the route becomes its owner

	rtnl_route_set_family(route.get(), nl_addr_get_family(destination.get()));
	rtnl_route_set_dst(route.get(), destination.get());
	rtnl_route_nh_set_ifindex(nexthop, to_number(options.Get("ifindex"), "ifindex"));
	rtnl_route_add_nexthop(route.get(), nexthop);
	if (auto gateway = text_option(options, "gateway"))
		rtnl_route_nh_set_gateway(nexthop, parse_address(*gateway).get());
	return route;
}

std::string Netlink::route_label(Napi::Object options)
{
	auto gateway = text_option(options, "gateway");
	return "route to " + to_text(options.Get("destination"), "destination") +
	       (gateway ? " via " + *gateway : "") + " on " +
	       interface_label(to_number(options.Get("ifindex"), "ifindex"));
}

void Netlink::add_route(const Napi::CallbackInfo &info)
{
	Napi::Object options = to_object(info[0], "route");
	RoutePointer route = read_route(options);

	if (flag_option(options, "onlink").value_or(false))
		rtnl_route_set_flags(route.get(), RTNH_F_ONLINK);
	if (auto mtu = number_option(options, "mtu"))
		rtnl_route_set_metric(route.get(), RTAX_MTU, *mtu);

	request(build([&](nl_msg **message) {
			return rtnl_route_build_add_request(route.get(),
							    NLM_F_CREATE | NLM_F_REPLACE, message);
		}),
		[&] { return "add " + route_label(options); });
}

bool Netlink::delete_route(const Napi::CallbackInfo &info)
{
	Napi::Object options = to_object(info[0], "route");
	RoutePointer route = read_route(options);
	// Whatever their scope and whoever made them.
	rtnl_route_set_scope(route.get(), RT_SCOPE_NOWHERE);
	rtnl_route_set_protocol(route.get(), RTPROT_UNSPEC);

	return request_unless(ESRCH, build([&](nl_msg **message) {
				      return rtnl_route_build_del_request(route.get(), 0, message);
			      }),
			      [&] { return "delete " + route_label(options); });
}

Napi::Value Netlink::neighbours(const Napi::CallbackInfo &info)
{
	auto list = Napi::Array::New(info.Env());
	CachePointer cache = socket().dump("neighbours", rtnl_neigh_alloc_cache);
	for_each<rtnl_neigh>(cache, [&](rtnl_neigh *neighbour) {
		uint32_t ifindex = rtnl_neigh_get_ifindex(neighbour);
		if (!is_ip(rtnl_neigh_get_family(neighbour)) || !selects(info[0], ifindex))
			return;

		auto state = Napi::Object::New(info.Env());
		state["ifindex"] = ifindex;
		state["address"] = format_address(rtnl_neigh_get_dst(neighbour));
		if (nl_addr *mac = rtnl_neigh_get_lladdr(neighbour))
			state["mac"] = format_mac(mac);
		state["state"] = rtnl_neigh_get_state(neighbour);
		list[list.Length()] = state;
	});
	return list;
}

static NeighbourPointer read_neighbour(Napi::Object options)
{
	NeighbourPointer neighbour(rtnl_neigh_alloc());
	AddressPointer address = parse_address(to_text(options.Get("address"), "address"));

	rtnl_neigh_set_ifindex(neighbour.get(), to_number(options.Get("ifindex"), "ifindex"));
	rtnl_neigh_set_dst(neighbour.get(), address.get());
	return neighbour;
}

std::string Netlink::neighbour_label(Napi::Object options)
{
	return "neighbour " + to_text(options.Get("address"), "address") + " on " +
	       interface_label(to_number(options.Get("ifindex"), "ifindex"));
}

void Netlink::add_neighbour(const Napi::CallbackInfo &info)
{
	Napi::Object options = to_object(info[0], "neighbour");
	NeighbourPointer neighbour = read_neighbour(options);
	rtnl_neigh_set_lladdr(neighbour.get(), parse_mac(to_text(options.Get("mac"), "mac")).get());
	rtnl_neigh_set_state(neighbour.get(), NUD_PERMANENT);

	request(build([&](nl_msg **message) {
			return rtnl_neigh_build_add_request(neighbour.get(),
							    NLM_F_CREATE | NLM_F_REPLACE, message);
		}),
		[&] { return "add " + neighbour_label(options); });
}

bool Netlink::delete_neighbour(const Napi::CallbackInfo &info)
{
	Napi::Object options = to_object(info[0], "neighbour");
	NeighbourPointer neighbour = read_neighbour(options);

	return request_unless(ENOENT, build([&](nl_msg **message) {
				      return rtnl_neigh_build_delete_request(neighbour.get(), 0,
									     message);
			      }),
			      [&] { return "delete " + neighbour_label(options); });
}
