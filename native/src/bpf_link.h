// SPDX-License-Identifier: Apache-2.0
// Link: the attachment of a program to one side of a device.
#pragma once

#include "bpf_fd.h"
#include "handle.h"

// `direction` is ingress or egress; EINVAL for anything else.
uint32_t tcx_attach_type(const std::string &direction);

// What an errno of a tcx link means; empty for the usual meaning.
const char *tcx_reason(int error);

// The contract's LinkInfo.
Napi::Value describe_link(Napi::Env env, const Fd &fd);

struct LinkResource {
	Fd fd;

	explicit LinkResource(Fd fd) : fd(std::move(fd)) {}
	std::string label() const
	{
		return "link " + std::to_string(link_info(fd).id);
	}
};

class Link : public Handle<Link, LinkResource>
{
public:
	static constexpr const char *kClassName = "Link";
	static std::vector<Napi::ClassPropertyDescriptor<Link>> members();

	using Handle::Handle;

private:
	Napi::Value info(const Napi::CallbackInfo &info);
	void update(const Napi::CallbackInfo &info);
	void pin(const Napi::CallbackInfo &info);
	void detach(const Napi::CallbackInfo &info);
};
