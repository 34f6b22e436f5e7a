// SPDX-License-Identifier: Apache-2.0
// What can go wrong, thrown as one C++ type and shown to JavaScript as a NativeError.
#pragma once

#include <napi.h>

#include <exception>
#include <string>

// ENOTSUPP, kernel-internal, yet it reaches user space: an operation that this map type lacks.
constexpr int kNotSupported = 524;

struct Failure : std::exception {
	std::string code;      // name of the errno, or CLOSED
	int error;	       // positive errno
	std::string operation; // what was tried and on what: pin map "sessions" at /x
	std::string reason;
	std::string log; // the verifier's or libbpf's words, where there are any

	// `reason` replaces the C library's words for the error.
	Failure(int error, std::string operation, std::string reason = {}, std::string log = {});

	// Use of a handle after close().
	static Failure closed(std::string operation);

	const char *what() const noexcept override
	{
		return operation.c_str();
	}
	Napi::Error to_error(Napi::Env env) const;
};

// Throws unless `result` is zero or positive; `result` is a negative errno, as libbpf 1.x returns
// it.
template <typename Describe> int check(int result, Describe describe)
{
	if (result < 0)
		throw Failure(-result, describe());
	return result;
}

// As `check`, for system calls that return -1 and set errno.
template <typename Describe> int check_errno(int result, Describe describe)
{
	return check(result < 0 ? -errno : result, describe);
}

std::string quoted(const std::string &name);
