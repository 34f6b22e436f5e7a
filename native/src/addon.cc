// SPDX-License-Identifier: Apache-2.0
// The module: its exports, and the state of one Node environment.
#include "bpf.h"
#include "handle.h"
#include "value.h"

#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/vfs.h>

static bool is_bpffs(const Napi::CallbackInfo &info)
{
	std::string path = to_text(info[0], "path");
	struct statfs status;
	check_errno(statfs(path.c_str(), &status), [&] { return "read the file system of " + path; });
	return status.f_type == BPF_FS_MAGIC;
}

static void mount_bpffs(const Napi::CallbackInfo &info)
{
	std::string path = to_text(info[0], "path");
	check_errno(mount("bpf", path.c_str(), "bpf", 0, "mode=0700"), [&] { return "mount a bpffs at " + path; });
}

static void unmount(const Napi::CallbackInfo &info)
{
	std::string path = to_text(info[0], "path");
	check_errno(umount2(path.c_str(), 0), [&] { return "unmount " + path; });
}

static Napi::Object init(Napi::Env env, Napi::Object exports)
{
	env.SetInstanceData(new Constructors);

	exports["bpf"] = export_bpf(env);
	exports["isBpffs"] = Napi::Function::New(env, exported<is_bpffs>, "isBpffs");
	exports["mountBpffs"] = Napi::Function::New(env, exported<mount_bpffs>, "mountBpffs");
	exports["umount"] = Napi::Function::New(env, exported<unmount>, "umount");
	return exports;
}

NODE_API_MODULE(inkev, init)
