// SPDX-License-Identifier: Apache-2.0
// Opens TCP connections packet by packet, as testers of middleboxes do (RFC 9411, 7.2): both ends
// are one program and have no sockets, so it is the path that takes the time.
//
//   dial ADDRESS PORT NETNS MILLISECONDS  prints
//   {"transactions":…,"seconds":…,"p50_us":…,"p99_us":…}
//
// The client is in the namespace in which the program starts, the server in that of the file NETNS;
// the device of both is eth0, and takes no other IPv4 meanwhile. Each connection is what rr.c's crr
// exchanges: SYN, SYN-ACK, ACK, a byte asked, a byte answered, RST. "seconds" are the processor's:
// the path is walked in this program's time, and what else the machine does is not in it. Exit
// status 1 with a sentence on stderr when a packet does not arrive within 2 s.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEVICE	    "eth0"
#define PATIENCE_MS 2000

// As many in turn as a kernel takes for one server: tables become as full as with rr.c.
#define FIRST_PORT 32768
#define PORTS	   14116

#define OPTIONS_MAX 40
#define SAMPLES_MAX 4000000

#define FRAME_SIZE 2048
#define FRAMES	   64

// What a packet socket takes: the checksum is left to the device, as sockets leave it.
struct frame {
	struct virtio_net_hdr offload;
	struct ethhdr ethernet;
	struct iphdr ip;
	struct tcphdr tcp;
	uint8_t rest[OPTIONS_MAX + 1];
} __attribute__((packed));

struct end {
	int socket;
	uint8_t *ring; // what arrives, FRAMES in turn
	uint32_t turn;
	struct frame frame; // what it sends; send_segment() completes it
	uint32_t options;   // bytes of them in its SYN
};

static uint32_t samples[SAMPLES_MAX];

static void die(const char *what)
{
	fprintf(stderr, "dial: cannot %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static int open_packet_socket(void)
{
	struct sockaddr_ll on = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int one = 1, s = socket(AF_PACKET, SOCK_RAW, 0);

	on.sll_ifindex = if_nametoindex(DEVICE);
	if (s < 0 || setsockopt(s, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) ||
	    bind(s, (struct sockaddr *)&on, sizeof(on)))
		die("open a packet socket on " DEVICE);
	return s;
}

static int bpf(int command, union bpf_attr *attributes)
{
	return syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

// Keeps IPv4 from the kernel of this namespace, which would reset connections that it does not
// know. Packet sockets hear of it before. Ends with the program.
static void deafen(void)
{
	const int tcx_ingress = 46; // newer than the headers
	const struct bpf_insn unless_ipv4[] = {
		{BPF_LDX | BPF_MEM | BPF_W, 2, 1, offsetof(struct __sk_buff, protocol), 0},
		{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 2}, // TC_ACT_SHOT
		{BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 1, htons(ETH_P_IP)},
		{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, -1}, // TCX_NEXT
		{BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
	};
	union bpf_attr program = {.prog_type = BPF_PROG_TYPE_SCHED_CLS,
				  .insns = (uintptr_t)unless_ipv4,
				  .insn_cnt = sizeof(unless_ipv4) / sizeof(unless_ipv4[0]),
				  .license = (uintptr_t)"GPL"};
	union bpf_attr link = {};

	link.link_create.prog_fd = bpf(BPF_PROG_LOAD, &program);
	link.link_create.target_ifindex = if_nametoindex(DEVICE);
	link.link_create.attach_type = tcx_ingress;
	if (bpf(BPF_LINK_CREATE, &link) < 0)
		die("keep packets from the kernel");
}

// Opens an end on the device of the namespace in which the program is.
static void open_end(struct end *end)
{
	struct tpacket_req ring = {.tp_block_size = FRAMES * FRAME_SIZE,
				   .tp_block_nr = 1,
				   .tp_frame_size = FRAME_SIZE,
				   .tp_frame_nr = FRAMES};
	int one = 1, version = TPACKET_V2;

	deafen();
	end->socket = open_packet_socket();
	if (setsockopt(end->socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    setsockopt(end->socket, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) ||
	    setsockopt(end->socket, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)))
		die("have packets put into memory");
	end->ring =
		mmap(NULL, ring.tp_block_size, PROT_READ | PROT_WRITE, MAP_SHARED, end->socket, 0);
	if (end->ring == MAP_FAILED)
		die("see packets in memory");
}

// The headers that the client's kernel writes when it is told to connect; it hears no answer.
static void copy_headers(struct end *client, const struct sockaddr_in *server)
{
	int device = open_packet_socket(), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct pollfd heard = {.fd = device, .events = POLLIN};
	struct frame *frame = &client->frame;

	if (connect(fd, (const struct sockaddr *)server, sizeof(*server)) && errno != EINPROGRESS)
		die("connect");
	do {
		errno = EHOSTUNREACH;
		if (poll(&heard, 1, PATIENCE_MS) != 1 || read(device, frame, sizeof(*frame)) < 0)
			die("see the kernel's SYN");
	} while (frame->ethernet.h_proto != htons(ETH_P_IP) || frame->ip.protocol != IPPROTO_TCP ||
		 !frame->tcp.syn);
	client->options = frame->tcp.doff * 4 - sizeof(frame->tcp);
	close(fd);
	close(device);
}

// The same of the server, which answers to where a packet came from.
static void turn_headers(struct end *server, const struct end *client, const struct ethhdr *heard)
{
	const struct iphdr *ip = (const void *)(heard + 1);
	const struct tcphdr *tcp = (const void *)(ip + 1);
	struct frame *frame = &server->frame;

	*server = (struct end){server->socket, server->ring, server->turn, client->frame,
			       client->options};
	memcpy(frame->ethernet.h_dest, heard->h_source, ETH_ALEN);
	memcpy(frame->ethernet.h_source, heard->h_dest, ETH_ALEN);
	frame->ip.saddr = ip->daddr;
	frame->ip.daddr = ip->saddr;
	frame->tcp.source = tcp->dest;
	frame->tcp.dest = tcp->source;
}

static uint16_t sum_of(uint32_t sum, const void *words, size_t length)
{
	for (size_t i = 0; i < length; i += 2)
		sum += ((const uint8_t *)words)[i] << 8 | ((const uint8_t *)words)[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(sum);
}

// A SYN has the options of the kernel's, and no payload.
static void send_segment(struct end *end, uint8_t flags, uint32_t sequence, uint32_t ack,
			 uint32_t payload)
{
	struct frame *frame = &end->frame;
	uint32_t header = sizeof(frame->tcp) + (flags & TH_SYN ? end->options : 0);
	size_t length = offsetof(struct frame, tcp) + header + payload;

	frame->ip.tot_len = htons(sizeof(frame->ip) + header + payload);
	frame->ip.check = 0;
	frame->ip.check = ~sum_of(0, &frame->ip, sizeof(frame->ip));
	frame->tcp.th_flags = flags;
	frame->tcp.seq = htonl(sequence);
	frame->tcp.ack_seq = htonl(ack);
	frame->tcp.doff = header / 4;
	frame->tcp.check = sum_of(IPPROTO_TCP + header + payload, &frame->ip.saddr, 8);
	if (write(end->socket, frame, length) != (ssize_t)length)
		die("send a packet");
}

static struct tpacket2_hdr *next_heard(struct end *end)
{
	struct tpacket2_hdr *next = (void *)(end->ring + end->turn++ % FRAMES * FRAME_SIZE);
	struct pollfd heard = {.fd = end->socket, .events = POLLIN};

	while (!(*(volatile uint32_t *)&next->tp_status & TP_STATUS_USER)) {
		errno = ETIMEDOUT;
		if (poll(&heard, 1, PATIENCE_MS) != 1)
			die("hear from the other end");
	}
	return next;
}

// Waits for a segment with these flags; all else that comes by is not for us. Good until the next.
static const struct ethhdr *hear(struct end *end, uint8_t flags)
{
	for (;;) {
		struct tpacket2_hdr *next = next_heard(end);
		const struct ethhdr *ethernet = (void *)next + next->tp_mac;
		const struct iphdr *ip = (const void *)(ethernet + 1);
		const struct tcphdr *tcp = (const void *)(ip + 1);
		bool ours = ethernet->h_proto == htons(ETH_P_IP) && ip->protocol == IPPROTO_TCP &&
			    tcp->th_flags == flags;

		*(volatile uint32_t *)&next->tp_status = TP_STATUS_KERNEL;
		if (ours)
			return ethernet;
	}
}

static void connect_once(struct end *client, struct end *server, uint32_t n)
{
	uint32_t mine = n * 2654435761U, theirs = ~mine;

	client->frame.tcp.source = htons(FIRST_PORT + n % PORTS);
	send_segment(client, TH_SYN, mine, 0, 0);
	turn_headers(server, client, hear(server, TH_SYN));
	send_segment(server, TH_SYN | TH_ACK, theirs, mine + 1, 0);
	hear(client, TH_SYN | TH_ACK);
	send_segment(client, TH_ACK, mine + 1, theirs + 1, 0);
	hear(server, TH_ACK);
	send_segment(client, TH_PUSH | TH_ACK, mine + 1, theirs + 1, 1);
	hear(server, TH_PUSH | TH_ACK);
	send_segment(server, TH_PUSH | TH_ACK, theirs + 1, mine + 2, 1);
	hear(client, TH_PUSH | TH_ACK);
	send_segment(client, TH_RST | TH_ACK, mine + 2, theirs + 2, 0);
	hear(server, TH_RST | TH_ACK);
}

static int ascending(const void *a, const void *b)
{
	const uint32_t *one = a, *other = b;

	return *one < *other ? -1 : *one > *other;
}

static void dial(struct end *client, struct end *server, uint64_t duration_ns)
{
	uint64_t start = now_ns(CLOCK_MONOTONIC), before = start;
	uint64_t used = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	uint32_t first = start, n = 0;

	while (before - start < duration_ns && n < SAMPLES_MAX) {
		uint64_t after;

		connect_once(client, server, first + n);
		after = now_ns(CLOCK_MONOTONIC);
		samples[n++] = after - before;
		before = after;
	}
	used = now_ns(CLOCK_PROCESS_CPUTIME_ID) - used;
	qsort(samples, n, sizeof(samples[0]), ascending);
	printf("{\"transactions\":%u,\"seconds\":%.6f,\"p50_us\":%.2f,\"p99_us\":%.2f}\n", n,
	       used / 1e9, samples[n / 2] / 1e3, samples[n / 100 * 99] / 1e3);
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct end client = {}, server = {};
	int netns;

	if (argc != 5 || !inet_aton(argv[1], &to.sin_addr)) {
		fprintf(stderr, "usage: dial ADDRESS PORT NETNS MILLISECONDS\n");
		return 1;
	}
	to.sin_port = htons(atoi(argv[2]));
	open_end(&client);
	netns = open(argv[3], O_RDONLY);
	if (netns < 0)
		die("open the server's namespace");
	copy_headers(&client, &to);
	if (setns(netns, CLONE_NEWNET))
		die("enter the server's namespace");
	open_end(&server);
	dial(&client, &server, strtoull(argv[4], NULL, 10) * 1000000ULL);
	return 0;
}
