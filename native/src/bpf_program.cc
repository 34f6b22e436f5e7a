// SPDX-License-Identifier: Apache-2.0
// BPF_PROG_TEST_RUN, info and tcx attachment of programs.
#include "bpf_program.h"

#include "bpf_link.h"
#include "netns.h"
#include "value.h"

#include <bpf/bpf.h>

#include <memory>
#include <vector>

ProgramResource::ProgramResource(Fd owned, std::string known_name)
	: fd(std::move(owned)), name(std::move(known_name))
{
	if (name.empty())
		name = program_info(fd).name;
}

std::vector<Napi::ClassPropertyDescriptor<Program>> Program::members()
{
	return {
		property<&Program::info>("info"),
		method<&Program::test_run>("testRun"),
		method<&Program::pin>("pin"),
		method<&Program::attach_tcx>("attachTcx"),
	};
}

static std::vector<uint32_t> map_ids(const Fd &fd)
{
	std::vector<uint32_t> ids(program_info(fd).nr_map_ids);
	bpf_prog_info info = {};
	__u32 size = sizeof(info);

	info.nr_map_ids = ids.size();
	info.map_ids = reinterpret_cast<uintptr_t>(ids.data());
	check(bpf_obj_get_info_by_fd(fd.get(), &info, &size),
	      [] { return "read the maps of a program"; });
	return ids;
}

static std::string hex(const uint8_t *bytes, size_t size)
{
	constexpr const char *kDigits = "0123456789abcdef";
	std::string text;
	for (size_t i = 0; i < size; i++)
		text += {kDigits[bytes[i] >> 4], kDigits[bytes[i] & 15]};
	return text;
}

Napi::Value Program::info(const Napi::CallbackInfo &call)
{
	Napi::Env env = call.Env();
	bpf_prog_info info = program_info(resource().fd);
	auto result = Napi::Object::New(env);
	auto ids = Napi::Array::New(env);

	for (uint32_t id : map_ids(resource().fd))
		ids[ids.Length()] = id;

	result["id"] = info.id;
	result["name"] = info.name;
	result["tag"] = hex(info.tag, sizeof(info.tag));
	result["type"] = info.type;
	result["mapIds"] = ids;
	result["loadTimeNs"] = Napi::BigInt::New(env, static_cast<uint64_t>(info.load_time));
	result["jitedSize"] = info.jited_prog_len;
	return result;
}

Napi::Value Program::test_run(const Napi::CallbackInfo &info)
{
	constexpr size_t kMostGrowth = 65536; // a program may encapsulate, or append
	Napi::Object run = to_object(info[0], "run");
	Bytes packet = to_bytes(run.Get("data"), "data");
	size_t capacity = packet.size + kMostGrowth;
	std::unique_ptr<uint8_t[]> data(new uint8_t[capacity]);
	__sk_buff context = {};

	LIBBPF_OPTS(bpf_test_run_opts, options);
	options.data_in = packet.data;
	options.data_size_in = packet.size;
	options.data_out = data.get();
	options.data_size_out = capacity;
	options.ctx_out = &context;
	options.ctx_size_out = sizeof(context);
	options.repeat = number_option(run, "repeat").value_or(1);
	if (run.Get("summed").ToBoolean())
		options.flags = BPF_F_TEST_SKB_CHECKSUM_COMPLETE;
	if (Napi::Value given = run.Get("context"); !given.IsUndefined()) {
		Bytes bytes = to_bytes(given, "context");
		options.ctx_in = bytes.data;
		options.ctx_size_in = bytes.size;
	}
	auto test = [&] {
		check(bpf_prog_test_run_opts(resource().fd.get(), &options),
		      [&] { return "run " + label(); });
	};
	if (Napi::Value netns = run.Get("netns"); netns.IsUndefined())
		test();
	else
		in_netns(Netns::unwrap(netns, "netns").resource().fd, test);

	auto result = Napi::Object::New(info.Env());
	result["verdict"] = static_cast<int32_t>(options.retval);
	result["data"] = to_buffer(info.Env(), data.get(), options.data_size_out);
	result["context"] = to_buffer(info.Env(), &context, options.ctx_size_out);
	result["durationNs"] = options.duration;
	return result;
}

void Program::pin(const Napi::CallbackInfo &info)
{
	::pin(resource().fd, to_text(info[0], "path"), label());
}

Napi::Value Program::attach_tcx(const Napi::CallbackInfo &info)
{
	uint32_t ifindex = to_number(info[0], "ifindex");
	std::string direction = to_text(info[1], "direction");
	auto type = static_cast<bpf_attach_type>(tcx_attach_type(direction));

	int fd = -1;
	auto attach = [&] { fd = bpf_link_create(resource().fd.get(), ifindex, type, nullptr); };
	if (info[2].IsUndefined())
		attach();
	else
		in_netns(Netns::unwrap(info[2], "netns").resource().fd, attach);
	if (fd < 0)
		throw Failure(-fd,
			      "attach " + label() + " to " + direction + " of interface " +
				      std::to_string(ifindex),
			      tcx_reason(-fd));
	return Link::create(info.Env(), LinkResource(Fd(fd)));
}
