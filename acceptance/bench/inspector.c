// SPDX-License-Identifier: Apache-2.0
// What looks into payloads from user space: the program behind an nfqueue, or a proxy. It lets pass
// what holds none of the patterns.
//
//   inspector queue NUMBER PATTERN…              verdicts for the packets of the queue
//   inspector proxy ADDRESS PORT SERVER PATTERN…  hands on what it is sent, both ways
//
// Says "ready" when it is, and runs until it is killed.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// As deep as inkev's inspect looks by default, and the headers before it.
#define DEPTH	1500
#define HEADERS 100
#define CHUNK	(128 << 10)

static char **patterns;
static char buffer[CHUNK];

static void die(const char *what)
{
	fprintf(stderr, "inspector: cannot %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool may_pass(const void *bytes, size_t length)
{
	for (char **pattern = patterns; *pattern; pattern++)
		if (memmem(bytes, length, *pattern, strlen(*pattern)))
			return false;
	return true;
}

static void ready(void)
{
	puts("ready");
	fflush(stdout);
}

static int judge(struct nfq_q_handle *queue, struct nfgenmsg *message, struct nfq_data *packet,
		 void *context)
{
	struct nfqnl_msg_packet_hdr *header = nfq_get_msg_packet_hdr(packet);
	unsigned char *bytes;
	int length = nfq_get_payload(packet, &bytes);
	bool passes = length < 0 || may_pass(bytes, length);

	(void)message;
	(void)context;
	return nfq_set_verdict(queue, ntohl(header->packet_id), passes ? NF_ACCEPT : NF_DROP, 0,
			       NULL);
}

static void serve_queue(int number)
{
	struct nfq_handle *handle = nfq_open();
	struct nfq_q_handle *queue = handle ? nfq_create_queue(handle, number, judge, NULL) : NULL;
	ssize_t length;

	if (!queue || nfq_set_mode(queue, NFQNL_COPY_PACKET, HEADERS + DEPTH) < 0)
		die("open the queue");
	// Trains of segments come whole, which spares a message for each segment.
	nfq_set_queue_flags(queue, NFQA_CFG_F_GSO, NFQA_CFG_F_GSO);
	ready();
	while ((length = recv(nfq_fd(handle), buffer, sizeof(buffer), 0)) >= 0 || errno == ENOBUFS)
		if (length > 0)
			nfq_handle_packet(handle, buffer, length);
	die("receive from the queue");
}

static struct sockaddr_in address_of(const char *address, const char *port)
{
	struct sockaddr_in found = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};

	if (inet_pton(AF_INET, address, &found.sin_addr) != 1) {
		fprintf(stderr, "inspector: %s is no IPv4 address\n", address);
		exit(1);
	}
	return found;
}

static void send_at_once(int fd)
{
	int yes = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

// False when there is nothing more to hand on.
static bool hand_on(int from, int to)
{
	ssize_t length = read(from, buffer, sizeof(buffer)), sent = 0;

	if (length <= 0 || !may_pass(buffer, length < DEPTH ? length : DEPTH))
		return false;
	while (sent < length) {
		ssize_t more = write(to, buffer + sent, length - sent);

		if (more <= 0)
			return false;
		sent += more;
	}
	return true;
}

// Until either end has no more to say; then the other hears it, and is heard out.
static void relay(int client, int server)
{
	struct pollfd ends[] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
	int open = 2;

	while (open > 0 && poll(ends, 2, -1) > 0) {
		for (int from = 0; from < 2; from++) {
			if (!ends[from].revents ||
			    hand_on(from ? server : client, from ? client : server))
				continue;
			shutdown(from ? client : server, SHUT_WR);
			ends[from].fd = -1;
			open--;
		}
	}
}

// One connection after the other, as the server of rr.c.
static void serve_proxy(const struct sockaddr_in on, const struct sockaddr_in to)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};
	int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(listener, (void *)&on, sizeof(on)) || listen(listener, 128))
		die("listen");
	ready();
	for (;;) {
		int client = accept(listener, NULL, NULL), server = socket(AF_INET, SOCK_STREAM, 0);

		send_at_once(client);
		send_at_once(server);
		// Closed by reset, as clients of rr.c do: else ports are used up in TIME_WAIT.
		setsockopt(server, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		if (!connect(server, (void *)&to, sizeof(to)))
			relay(client, server);
		else
			setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(client);
		close(server);
	}
}

int main(int argc, char **argv)
{
	if (argc >= 3 && !strcmp(argv[1], "queue")) {
		patterns = argv + 3;
		serve_queue(atoi(argv[2]));
	}
	if (argc >= 5 && !strcmp(argv[1], "proxy")) {
		patterns = argv + 5;
		serve_proxy(address_of(argv[2], argv[3]), address_of(argv[4], argv[3]));
	}
	fprintf(stderr, "usage: inspector queue NUMBER PATTERN… | inspector proxy ADDRESS PORT "
			"SERVER PATTERN…\n");
	return 1;
}
