// SPDX-License-Identifier: Apache-2.0
// libbpf's print callback.
#include "libbpf_log.h"

#include <bpf/libbpf.h>

#include <cstdio>
#include <cstdlib>

static thread_local std::string *t_log = nullptr;

static int keep(libbpf_print_level level, const char *format, va_list arguments)
{
	if (level == LIBBPF_DEBUG || !t_log)
		return 0;

	char *line = nullptr;
	int length = vasprintf(&line, format, arguments);
	if (length < 0)
		return 0;
	t_log->append(line, length);
	free(line);
	return length;
}

void redirect_libbpf_log()
{
	libbpf_set_print(keep);
}

LogCapture::LogCapture(std::string &log)
{
	t_log = &log;
}
LogCapture::~LogCapture()
{
	t_log = nullptr;
}
