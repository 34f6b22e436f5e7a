// SPDX-License-Identifier: Apache-2.0
// Requests, acknowledgements and extended acknowledgements.
#include "netlink_socket.h"

#include "netns.h"

#include <linux/netlink.h>
#include <netlink/attr.h>
#include <netlink/socket.h>
#include <sys/socket.h>
#include <sys/time.h>

SocketPointer connect_in(const Fd &netns)
{
	SocketPointer socket(nl_socket_alloc());
	in_netns(netns, [&] {
		if (int result = nl_connect(socket.get(), NETLINK_ROUTE); result < 0)
			throw Failure(EIO, "open a netlink socket", nl_geterror(result));
	});

	timeval limit = {5, 0};
	int fd = nl_socket_get_fd(socket.get());
	check_errno(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)),
		    [] { return "limit the waiting time of a netlink socket"; });
	return socket;
}

NetlinkSocket::NetlinkSocket(const Fd &netns) : socket_(connect_in(netns))
{
	int on = 1, fd = nl_socket_get_fd(socket_.get());
	// Without the request's copy, so that the explanation follows the error at once. Both are a
	// courtesy of the kernel.
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));

	nl_cb_err(nl_socket_get_cb(socket_.get()), NL_CB_CUSTOM, keep_answer, this);
}

int NetlinkSocket::keep_answer(sockaddr_nl *, nlmsgerr *error, void *self)
{
	Answer &answer = static_cast<NetlinkSocket *>(self)->answer_;
	auto header = reinterpret_cast<nlmsghdr *>(reinterpret_cast<char *>(error) - NLMSG_HDRLEN);

	answer.error = error->error;
	if (header->nlmsg_flags & NLM_F_ACK_TLVS) {
		auto attributes = reinterpret_cast<nlattr *>(error + 1);
		int length = nlmsg_datalen(header) - sizeof(*error);
		if (nlattr *text = nla_find(attributes, length, NLMSGERR_ATTR_MSG))
			answer.explanation = nla_get_string(text);
	}
	return NL_STOP;
}

int NetlinkSocket::errno_of(int nl_result) const
{
	if (nl_result >= 0)
		return nl_result;
	if (answer_.error < 0)
		return answer_.error;
	switch (-nl_result) {
	case NLE_AGAIN:
		return -ETIMEDOUT;
	case NLE_NODEV:
	case NLE_OBJ_NOTFOUND:
		return -ENODEV;
	case NLE_DUMP_INTR:
		return -EBUSY;
	default:
		return -EIO;
	}
}

int NetlinkSocket::request(MessagePointer message)
{
	return call([&](nl_sock *sock) {
		int result = nl_send_auto(sock, message.get());
		return result < 0 ? result : nl_wait_for_ack(sock);
	});
}
