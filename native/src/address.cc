// SPDX-License-Identifier: Apache-2.0
// Strict parsing: libnl's own parser also takes host names and link-layer forms.
#include "address.h"

#include "failure.h"

#include <arpa/inet.h>
#include <netinet/ether.h>

#include <cstring>

static int parse_prefix_length(const std::string &text, int most, const std::string &operation)
{
	if (text.empty() || text.size() > 3 || text.find_first_not_of("0123456789") != text.npos ||
	    std::stoi(text) > most)
		throw Failure(EINVAL, operation,
			      "its prefix length is not one of 0 to " + std::to_string(most));
	return std::stoi(text);
}

AddressPointer parse_address(const std::string &text)
{
	std::string operation = "read address " + quoted(text);
	size_t slash = text.find('/');
	std::string host = text.substr(0, slash);
	int family = host.find(':') == host.npos ? AF_INET : AF_INET6;
	int size = family == AF_INET ? 4 : 16;
	uint8_t bytes[16];

	if (inet_pton(family, host.c_str(), bytes) != 1)
		throw Failure(EINVAL, operation, "it is neither an IPv4 nor an IPv6 address");

	AddressPointer address(nl_addr_build(family, bytes, size));
	if (slash != text.npos)
		nl_addr_set_prefixlen(address.get(), parse_prefix_length(text.substr(slash + 1),
									 size * 8, operation));
	return address;
}

AddressPointer parse_mac(const std::string &text)
{
	ether_addr mac;
	if (text.size() != 17 || !ether_aton_r(text.c_str(), &mac))
		throw Failure(EINVAL, "read MAC address " + quoted(text),
			      "it has not the form 02:00:00:00:00:01");
	return AddressPointer(nl_addr_build(AF_LLC, &mac, sizeof(mac)));
}

static std::string format_bytes(const void *bytes, int family)
{
	char text[INET6_ADDRSTRLEN] = {};
	inet_ntop(family, bytes, text, sizeof(text));
	return text;
}

std::string format_address(nl_addr *address)
{
	return format_bytes(nl_addr_get_binary_addr(address), nl_addr_get_family(address));
}

std::string format_mac(nl_addr *address)
{
	if (!address || nl_addr_get_len(address) != ETH_ALEN)
		return "";

	auto b = static_cast<const uint8_t *>(nl_addr_get_binary_addr(address));
	char text[18];
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4],
		 b[5]);
	return text;
}

std::string format_cidr(nl_addr *address, int prefix_length, int family)
{
	uint8_t bytes[16] = {};
	if (address)
		memcpy(bytes, nl_addr_get_binary_addr(address), nl_addr_get_len(address));
	return format_bytes(bytes, family) + '/' + std::to_string(prefix_length);
}
