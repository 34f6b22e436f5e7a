// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The network card of a virtual machine, in the hands of a test.
//
//   tapcard NETNS TAP OFFLOADS
//
// Makes the tap. What is read from stdin is sent by the machine, what the machine receives is
// written to stdout: a length of 32 bits in the machine's own order, then so many bytes, a struct
// virtio_net_hdr and the frame. An empty one, written first, says that the tap is there. OFFLOADS:
// bits of TUN_F_..., what the machine takes unfinished. It ends with stdin.

#include "tap.h"
#include <poll.h>
#include <stdlib.h>

static struct {
	unsigned int length;
	char bytes[FRAME_MAX];
} frame;

static void read_whole(void *to, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t got = read(STDIN_FILENO, (char *)to + done, size - done);

		if (got <= 0)
			exit(0);
		done += got;
	}
}

static void write_frame(void)
{
	size_t size = sizeof(frame.length) + frame.length;

	for (size_t done = 0; done < size;) {
		ssize_t put = write(STDOUT_FILENO, (char *)&frame + done, size - done);

		if (put <= 0)
			exit(0);
		done += put;
	}
}

static void send_frame(int tap)
{
	read_whole(&frame.length, sizeof(frame.length));
	if (frame.length > sizeof(frame.bytes))
		errx(1, "a frame of %u bytes", frame.length);
	read_whole(frame.bytes, frame.length);
	if (write(tap, frame.bytes, frame.length) < 0)
		err(1, "send a frame of %u bytes", frame.length);
}

static void receive_frame(int tap)
{
	ssize_t length = read(tap, frame.bytes, sizeof(frame.bytes));

	if (length < 0)
		err(1, "receive a frame");
	frame.length = length;
	write_frame();
}

int main(int argc, char **argv)
{
	struct pollfd ends[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}};

	if (argc != 4)
		errx(1, "usage: tapcard NETNS TAP OFFLOADS");
	ends[1].fd = open_tap(argv[1], argv[2], strtoul(argv[3], NULL, 0));
	write_frame();
	while (poll(ends, 2, -1) > 0) {
		if (ends[0].revents)
			send_frame(ends[1].fd);
		if (ends[1].revents & POLLIN)
			receive_frame(ends[1].fd);
	}
	return 0;
}
