// SPDX-License-Identifier: Apache-2.0
// BpfObject: the programs and maps that one ELF brought into the kernel. BpfTemplate: the ELF.
#pragma once

#include "handle.h"

#include <memory>

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

class Template;

struct TemplateResource {
	std::shared_ptr<Template> origin; // shared with the loads under way

	std::string label() const;
};

class BpfTemplate : public Handle<BpfTemplate, TemplateResource>
{
public:
	static constexpr const char *kClassName = "BpfTemplate";
	static std::vector<Napi::ClassPropertyDescriptor<BpfTemplate>> members();

	using Handle::Handle;

private:
	Napi::Value load(const Napi::CallbackInfo &info);
};

// bpf.load(options): a promise of a BpfObject.
Napi::Value load(const Napi::CallbackInfo &info);
// bpf.template(options)
Napi::Value create_template(const Napi::CallbackInfo &info);
