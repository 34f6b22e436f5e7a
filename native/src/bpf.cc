// SPDX-License-Identifier: Apache-2.0
// The functions of the exported object `bpf`: creation, opening and listing.
#include "bpf.h"

#include "bpf_clsact.h"
#include "bpf_link.h"
#include "bpf_map.h"
#include "bpf_object.h"
#include "bpf_program.h"
#include "bpf_ring.h"
#include "bpf_template.h"
#include "libbpf_log.h"
#include "value.h"

#include <bpf/bpf.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmath>
#include <memory>

static Napi::Value create_map(const Napi::CallbackInfo &info)
{
	Napi::Object given = to_object(info[0], "options");
	std::string name = to_text(given.Get("name"), "name");
	LIBBPF_OPTS(bpf_map_create_opts, options);
	options.map_flags = number_option(given, "flags").value_or(0);
	if (Napi::Value inner = given.Get("inner"); !inner.IsUndefined())
		options.inner_map_fd = BpfMap::unwrap(inner, "inner").resource().fd.get();

	int fd = bpf_map_create(map_type_named(to_text(given.Get("type"), "type")), name.c_str(),
				to_number(given.Get("keySize"), "keySize"),
				to_number(given.Get("valueSize"), "valueSize"),
				to_number(given.Get("maxEntries"), "maxEntries"), &options);
	check(fd, [&] { return "create map " + quoted(name); });
	return BpfMap::create(info.Env(), MapResource(Fd(fd)));
}

template <typename T, BpfKind Kind> static Napi::Value open_path(const Napi::CallbackInfo &info)
{
	return T::create(info.Env(),
			 typename T::Resource(open_pinned(to_text(info[0], "path"), Kind)));
}

template <typename T, BpfKind Kind> static Napi::Value open_id(const Napi::CallbackInfo &info)
{
	return T::create(info.Env(),
			 typename T::Resource(open_by_id(to_number(info[0], "id"), Kind)));
}

template <int (*Next)(__u32, __u32 *)> static Napi::Value ids(const Napi::CallbackInfo &info)
{
	auto list = Napi::Array::New(info.Env());
	__u32 id = 0;
	int result;

	while ((result = Next(id, &id)) == 0)
		list[list.Length()] = id;
	if (result != -ENOENT)
		check(result, [] { return "list BPF objects"; });
	return list;
}

static Napi::Value link_info_by_id(const Napi::CallbackInfo &info)
{
	return describe_link(info.Env(), open_by_id(to_number(info[0], "id"), BpfKind::link));
}

// BPF_PROG_QUERY's attributes since Linux 6.6, which Debian 12's linux/bpf.h and libbpf 1.1 do not
// know.
struct TcxQuery {
	uint32_t ifindex, attach_type, query_flags, attach_flags;
	uint64_t program_ids;
	uint32_t count, padding;
	uint64_t program_attach_flags, link_ids, link_attach_flags, revision;
};

static Napi::Value query_tcx(const Napi::CallbackInfo &info)
{
	constexpr uint32_t kMostPrograms = 64; // BPF_MPROG_MAX
	uint32_t programs[kMostPrograms] = {}, links[kMostPrograms] = {};
	TcxQuery query = {};

	query.ifindex = to_number(info[0], "ifindex");
	query.attach_type = tcx_attach_type(to_text(info[1], "direction"));
	query.program_ids = reinterpret_cast<uintptr_t>(programs);
	query.link_ids = reinterpret_cast<uintptr_t>(links);
	query.count = kMostPrograms;
	check_errno(syscall(__NR_bpf, BPF_PROG_QUERY, &query, sizeof(query)), [&] {
		return "query tcx links of interface " + std::to_string(query.ifindex);
	});

	auto list = Napi::Array::New(info.Env(), query.count);
	for (uint32_t i = 0; i < query.count; i++) {
		auto entry = Napi::Object::New(info.Env());
		entry["linkId"] = links[i];
		entry["programId"] = programs[i];
		list[i] = entry;
	}
	return list;
}

// CPUs that a thread may run on, by their numbers.
struct CpuSet {
	int count = static_cast<int>(sysconf(_SC_NPROCESSORS_CONF));
	size_t size = CPU_ALLOC_SIZE(count);
	std::unique_ptr<cpu_set_t, void (*)(cpu_set_t *)> bits{
		CPU_ALLOC(count), [](cpu_set_t *set) { CPU_FREE(set); }};

	bool read() const
	{
		return sched_getaffinity(0, size, bits.get()) == 0;
	}
	bool use() const
	{
		return sched_setaffinity(0, size, bits.get()) == 0;
	}
	bool use_only(int cpu) const
	{
		CPU_ZERO_S(size, bits.get());
		CPU_SET_S(cpu, size, bits.get());
		return use();
	}
};

// Programs on packets run where no thread can take the CPU from them (but for real-time kernels):
// when this thread has run on a CPU, those that ran there before have ended.
static bool run_on_each_cpu()
{
	CpuSet own, one;
	if (!own.read())
		return false;
	bool everywhere = CPU_COUNT_S(own.size, own.bits.get()) == sysconf(_SC_NPROCESSORS_ONLN);
	for (int cpu = 0; everywhere && cpu < own.count; cpu++)
		if (CPU_ISSET_S(cpu, own.size, own.bits.get()))
			everywhere = one.use_only(cpu);
	own.use();
	return everywhere;
}

// Where not every CPU can be visited the kernel is asked to wait for them, which takes it longer.
static void settle(const Napi::CallbackInfo &)
{
	if (access("/sys/kernel/realtime", F_OK) != 0 && run_on_each_cpu())
		return;
	check_errno(syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0),
		    [] { return "wait for programs that run"; });
}

// The kernel tells it as the resolution of its coarse clocks.
static long ticks_in_second()
{
	timespec tick = {};
	check_errno(clock_getres(CLOCK_MONOTONIC_COARSE, &tick),
		    [] { return "ask for the kernel's tick"; });
	return std::lround(1e9 / static_cast<double>(tick.tv_nsec));
}

Napi::Object export_bpf(Napi::Env env)
{
	redirect_libbpf_log();
	register_templates();

	auto exports = Napi::Object::New(env);
	exports["load"] = Napi::Function::New(env, load, "load");
	export_function<create_template>(exports, "template");
	export_function<create_map>(exports, "createMap");
	export_function<open_path<BpfMap, BpfKind::map>>(exports, "openMap");
	export_function<open_id<BpfMap, BpfKind::map>>(exports, "openMapById");
	export_function<open_path<Program, BpfKind::program>>(exports, "openProgram");
	export_function<open_id<Program, BpfKind::program>>(exports, "openProgramById");
	export_function<open_path<Link, BpfKind::link>>(exports, "openLink");
	export_function<ids<bpf_prog_get_next_id>>(exports, "programIds");
	export_function<ids<bpf_map_get_next_id>>(exports, "mapIds");
	export_function<ids<bpf_link_get_next_id>>(exports, "linkIds");
	export_function<link_info_by_id>(exports, "linkInfo");
	export_function<query_tcx>(exports, "queryTcx");
	export_function<attach_clsact>(exports, "attachClsact");
	export_function<detach_clsact>(exports, "detachClsact");
	export_function<query_clsact>(exports, "queryClsact");
	export_function<delete_clsact>(exports, "deleteClsact");
	exports["ticksInSecond"] = Napi::Number::New(env, ticks_in_second());
	export_function<settle>(exports, "settle");
	export_function<watch_ring_buffer>(exports, "ringBuffer");
	return exports;
}
