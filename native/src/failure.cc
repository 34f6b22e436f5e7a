// SPDX-License-Identifier: Apache-2.0
// Names and sentences of errors.
#include "failure.h"

#include <cctype>
#include <cstring>

static std::string code_of(int error)
{
	if (error == kNotSupported)
		return "ENOTSUPP";

	const char *name = strerrorname_np(error);
	return name ? name : "E" + std::to_string(error);
}

static std::string reason_of(int error)
{
	std::string reason = strerror(error == kNotSupported ? EOPNOTSUPP : error);
	reason[0] = std::tolower(static_cast<unsigned char>(reason[0]));
	return reason;
}

Failure::Failure(int error, std::string operation, std::string reason, std::string log)
	: code(code_of(error)), error(error), operation(std::move(operation)),
	  reason(reason.empty() ? reason_of(error) : std::move(reason)), log(std::move(log))
{
}

Failure Failure::closed(std::string operation)
{
	Failure failure(EBADF, std::move(operation), "it was closed");
	failure.code = "CLOSED";
	return failure;
}

Napi::Error Failure::to_error(Napi::Env env) const
{
	Napi::Error error =
		Napi::Error::New(env, "cannot " + operation + ": " + reason + " (" + code + ")");

	error.Set("name", Napi::String::New(env, "NativeError"));
	error.Set("code", Napi::String::New(env, code));
	error.Set("errno", Napi::Number::New(env, this->error));
	error.Set("operation", Napi::String::New(env, operation));
	if (!log.empty())
		error.Set("log", Napi::String::New(env, log));
	return error;
}

std::string quoted(const std::string &name)
{
	return '"' + name + '"';
}
