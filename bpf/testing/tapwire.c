// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A wire between two taps in two network namespaces: what a virtual machine's network card is, for
// tests.
//
//   tapwire NETNS TAP NETNS TAP
//
// The taps take and give whole trains of segments and packets whose checksums are to be filled in,
// as virtio does. It runs until killed.

#include "tap.h"
#include <errno.h>
#include <poll.h>

static void copy(int from, int to)
{
	static char frame[FRAME_MAX];
	ssize_t length = read(from, frame, sizeof(frame));

	if (length < 0)
		err(1, "read a frame");
	if (write(to, frame, length) < 0 && errno != EIO) /* EIO: that tap is down */
		warn("write a frame of %zd bytes", length);
}

int main(int argc, char **argv)
{
	struct pollfd taps[2] = {{.events = POLLIN}, {.events = POLLIN}};

	if (argc != 5)
		errx(1, "usage: tapwire NETNS TAP NETNS TAP");
	for (int n = 0; n < 2; n++)
		taps[n].fd = open_tap(argv[1 + 2 * n], argv[2 + 2 * n],
				      TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6);
	puts("ready");
	fflush(stdout);
	while (poll(taps, 2, -1) > 0)
		for (int n = 0; n < 2; n++)
			if (taps[n].revents & POLLIN)
				copy(taps[n].fd, taps[1 - n].fd);
	return 0;
}
