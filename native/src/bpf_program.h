// SPDX-License-Identifier: Apache-2.0
// Program: a loaded program, its test runs and its attachment.
#pragma once

#include "bpf_fd.h"
#include "handle.h"

struct ProgramResource {
	Fd fd;
	std::string name; // the full ELF name where it is known

	explicit ProgramResource(Fd fd, std::string name = {});
	std::string label() const
	{
		return "program " + quoted(name);
	}
};

class Program : public Handle<Program, ProgramResource>
{
public:
	static constexpr const char *kClassName = "Program";
	static std::vector<Napi::ClassPropertyDescriptor<Program>> members();

	using Handle::Handle;

private:
	Napi::Value info(const Napi::CallbackInfo &info);
	Napi::Value test_run(const Napi::CallbackInfo &info);
	void pin(const Napi::CallbackInfo &info);
	Napi::Value attach_tcx(const Napi::CallbackInfo &info);
};
