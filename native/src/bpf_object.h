// SPDX-License-Identifier: Apache-2.0
// BpfObject: the programs and maps that one ELF brought into the kernel.
#pragma once

#include "handle.h"

struct ObjectResource {
	std::string name;
	Napi::ObjectReference programs, maps; // JavaScript Maps: ELF name → handle

	std::string label() const
	{
		return "object " + quoted(name);
	}
};

class BpfObject : public Handle<BpfObject, ObjectResource>
{
public:
	static constexpr const char *kClassName = "BpfObject";
	static std::vector<Napi::ClassPropertyDescriptor<BpfObject>> members();

	using Handle::Handle;

	// Closes the handles of all its programs and maps.
	void close();

private:
	Napi::Value programs(const Napi::CallbackInfo &info);
	Napi::Value maps(const Napi::CallbackInfo &info);
};

// bpf.load(options): a promise of a BpfObject.
Napi::Value load(const Napi::CallbackInfo &info);
