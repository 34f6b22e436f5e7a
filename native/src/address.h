// SPDX-License-Identifier: Apache-2.0
// Addresses between the strings of the contract and libnl.
#pragma once

#include <netlink/addr.h>

#include <memory>
#include <string>

struct PutAddress {
	void operator()(nl_addr *address) const
	{
		nl_addr_put(address);
	}
};
using AddressPointer = std::unique_ptr<nl_addr, PutAddress>;

// "10.0.0.1/24", "fd00::/64"; without a prefix length it is the whole address. EINVAL for anything
// else.
AddressPointer parse_address(const std::string &text);

// "02:00:00:00:00:01". EINVAL for anything else.
AddressPointer parse_mac(const std::string &text);

std::string format_address(nl_addr *address);
std::string format_mac(nl_addr *address);

// With a prefix length; `family` tells 0.0.0.0/0 from ::/0, for which the kernel sends no bytes.
std::string format_cidr(nl_addr *address, int prefix_length, int family);
