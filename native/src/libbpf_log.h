// SPDX-License-Identifier: Apache-2.0
// What libbpf says: never on stderr, and kept only where an error will carry it.
#pragma once

#include <string>

// Turns libbpf's output away from stderr, for the whole process.
void redirect_libbpf_log();

// While it lives, libbpf's words on this thread go into `log`; the verifier's log is among them
// when a program is refused.
class LogCapture
{
public:
	explicit LogCapture(std::string &log);
	~LogCapture();
};
