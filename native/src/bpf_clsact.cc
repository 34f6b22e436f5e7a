// SPDX-License-Identifier: Apache-2.0
// Direct-action filters of clsact, through libbpf.
#include "bpf_clsact.h"

#include "bpf_program.h"
#include "value.h"

#include <bpf/libbpf.h>

// Where a filter sits; several of one priority are told apart by a handle, and this one is always
// the first.
struct Place {
	bpf_tc_hook hook = {};
	bpf_tc_opts filter = {};
	std::string description;

	explicit Place(Napi::Object options)
	{
		std::string direction = to_text(options.Get("direction"), "direction");
		if (direction != "ingress" && direction != "egress")
			throw Failure(EINVAL, "read argument \"direction\"",
				      "it is neither ingress nor egress");

		hook.sz = sizeof(hook);
		hook.ifindex = to_number(options.Get("ifindex"), "ifindex");
		hook.attach_point = direction == "ingress" ? BPF_TC_INGRESS : BPF_TC_EGRESS;
		filter.sz = sizeof(filter);
		filter.handle = 1;
		filter.priority = to_number(options.Get("priority"), "priority");
		description =
			"clsact " + direction + " of interface " + std::to_string(hook.ifindex);
	}
};

bool attach_clsact(const Napi::CallbackInfo &info)
{
	Program &program = Program::unwrap(info[0], "program");
	Place place(to_object(info[1], "place"));
	auto describe = [&] { return "attach " + program.label() + " to " + place.description; };

	int created = bpf_tc_hook_create(&place.hook);
	if (created != -EEXIST)
		check(created, describe);

	place.filter.prog_fd = program.resource().fd.get();
	place.filter.flags = BPF_TC_F_REPLACE;
	check(bpf_tc_attach(&place.hook, &place.filter), describe);
	return created == 0;
}

// ENOENT: no such filter; EINVAL: no clsact qdisc; ENODEV: no device.
static bool is_absent(int result)
{
	return result == -ENOENT || result == -EINVAL || result == -ENODEV;
}

bool detach_clsact(const Napi::CallbackInfo &info)
{
	Place place(to_object(info[0], "place"));
	int result = bpf_tc_detach(&place.hook, &place.filter);
	if (is_absent(result))
		return false;
	check(result, [&] { return "detach from " + place.description; });
	return true;
}

Napi::Value query_clsact(const Napi::CallbackInfo &info)
{
	Place place(to_object(info[0], "place"));
	int result = bpf_tc_query(&place.hook, &place.filter);
	if (is_absent(result))
		return info.Env().Undefined();
	check(result, [&] { return "query " + place.description; });
	return Napi::Number::New(info.Env(), place.filter.prog_id);
}

bool delete_clsact(const Napi::CallbackInfo &info)
{
	bpf_tc_hook hook = {};
	hook.sz = sizeof(hook);
	hook.ifindex = to_number(info[0], "ifindex");
	hook.attach_point = static_cast<bpf_tc_attach_point>(
		BPF_TC_INGRESS | BPF_TC_EGRESS); // both: the qdisc itself

	int result = bpf_tc_hook_destroy(&hook);
	if (is_absent(result))
		return false;
	check(result, [&] { return "delete clsact of interface " + std::to_string(hook.ifindex); });
	return true;
}
