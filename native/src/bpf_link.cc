// SPDX-License-Identifier: Apache-2.0
// tcx links.
#include "bpf_link.h"

#include "bpf_program.h"
#include "value.h"

#include <bpf/bpf.h>

// tcx came with Linux 6.6; Debian 12's linux/bpf.h is older and lacks these.
static constexpr uint32_t kTcxIngress = 46, kTcxEgress = 47, kLinkTypeTcx = 11;

uint32_t tcx_attach_type(const std::string &direction)
{
	if (direction == "ingress")
		return kTcxIngress;
	if (direction == "egress")
		return kTcxEgress;
	throw Failure(EINVAL, "read argument \"direction\"", "it is neither ingress nor egress");
}

const char *tcx_reason(int error)
{
	switch (error) {
	case EEXIST:
		return "the program is attached there already";
	case ENOLINK:
		return "the link is detached";
	default:
		return "";
	}
}

std::vector<Napi::ClassPropertyDescriptor<Link>> Link::members()
{
	return {
		property<&Link::info>("info"),
		method<&Link::update>("update"),
		method<&Link::pin>("pin"),
		method<&Link::detach>("detach"),
	};
}

Napi::Value describe_link(Napi::Env env, const Fd &fd)
{
	bpf_link_info info = link_info(fd);
	// What the kernel writes for a tcx link, in the place of the older header's union.
	struct TcxInfo {
		uint32_t ifindex, attach_type;
	} tcx = {};
	if (info.type == kLinkTypeTcx)
		memcpy(&tcx, &info.netns, sizeof(tcx));

	auto result = Napi::Object::New(env);
	result["id"] = info.id;
	result["programId"] = info.prog_id;
	result["ifindex"] = tcx.ifindex;
	result["direction"] = tcx.attach_type == kTcxIngress  ? "ingress"
			      : tcx.attach_type == kTcxEgress ? "egress"
							      : "other";
	return result;
}

Napi::Value Link::info(const Napi::CallbackInfo &call)
{
	return describe_link(call.Env(), resource().fd);
}

void Link::update(const Napi::CallbackInfo &info)
{
	Program &program = Program::unwrap(info[0], "program");
	int result = bpf_link_update(resource().fd.get(), program.resource().fd.get(), nullptr);
	if (result < 0)
		throw Failure(-result,
			      "replace the program of " + label() + " by " + program.label(),
			      tcx_reason(-result));
}

void Link::pin(const Napi::CallbackInfo &info)
{
	::pin(resource().fd, to_text(info[0], "path"), label());
}

void Link::detach(const Napi::CallbackInfo &)
{
	int result = bpf_link_detach(resource().fd.get());
	if (result != -ENOLINK)
		check(result, [&] { return "detach " + label(); });
}
