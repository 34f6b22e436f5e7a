// SPDX-License-Identifier: Apache-2.0
// Duplicates of descriptors.
#include "fd.h"

#include "failure.h"

#include <fcntl.h>

Fd duplicate(int fd)
{
	return Fd(check_errno(fcntl(fd, F_DUPFD_CLOEXEC, 0),
			      [] { return "duplicate a descriptor"; }));
}
