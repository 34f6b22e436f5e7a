// SPDX-License-Identifier: Apache-2.0
// The module: its exports, and the state of one Node environment.
#include "bpf.h"
#include "bpf_link.h"
#include "bpf_map.h"
#include "bpf_object.h"
#include "bpf_program.h"
#include "handle.h"
#include "netlink.h"
#include "netns.h"
#include "value.h"
#include "watch.h"

#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/vfs.h>

static bool is_bpffs(const Napi::CallbackInfo &info)
{
	std::string path = to_text(info[0], "path");
	struct statfs status;
	check_errno(statfs(path.c_str(), &status),
		    [&] { return "read the file system of " + path; });
	return status.f_type == BPF_FS_MAGIC;
}

static void mount_bpffs(const Napi::CallbackInfo &info)
{
	std::string path = to_text(info[0], "path");
	check_errno(mount("bpf", path.c_str(), "bpf", 0, "mode=0700"),
		    [&] { return "mount a bpffs at " + path; });
}

static void unmount(const Napi::CallbackInfo &info)
{
	std::string path = to_text(info[0], "path");
	check_errno(umount2(path.c_str(), 0), [&] { return "unmount " + path; });
}

static Napi::Object export_net(Napi::Env env)
{
	auto exports = Napi::Object::New(env);
	export_function<open_netns>(exports, "openNetns");
	export_function<create_netns>(exports, "createNetns");
	export_function<delete_netns>(exports, "deleteNetns");
	export_function<open_netlink>(exports, "open");
	return exports;
}

static Napi::Object init(Napi::Env env, Napi::Object exports)
{
	env.SetInstanceData(new Constructors);

	BpfMap::define(env);
	Program::define(env);
	Link::define(env);
	BpfObject::define(env);
	BpfTemplate::define(env);
	Watch::define(env);
	Netns::define(env);
	Netlink::define(env);

	exports["bpf"] = export_bpf(env);
	exports["net"] = export_net(env);
	export_function<is_bpffs>(exports, "isBpffs");
	export_function<mount_bpffs>(exports, "mountBpffs");
	export_function<unmount>(exports, "umount");
	return exports;
}

NODE_API_MODULE(inkev, init)
