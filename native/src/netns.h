// SPDX-License-Identifier: Apache-2.0
// Network namespaces: opened, created and deleted as `ip netns` does it, and entered by short-lived
// threads only.
#pragma once

#include "fd.h"
#include "handle.h"

#include <functional>

// Runs `work` in a namespace, on a thread of its own: that of the calling thread never changes.
// Passes Failures on.
void in_netns(const Fd &netns, const std::function<void()> &work);

// The namespace of the calling thread.
Fd own_netns();

struct NetnsResource {
	std::string path;
	Fd fd;

	std::string label() const
	{
		return "network namespace " + path;
	}
};

class Netns : public Handle<Netns, NetnsResource>
{
public:
	static constexpr const char *kClassName = "Netns";
	static std::vector<Napi::ClassPropertyDescriptor<Netns>> members();

	using Handle::Handle;

private:
	Napi::Value inode(const Napi::CallbackInfo &info);
};

// net.openNetns, net.createNetns, net.deleteNetns
Napi::Value open_netns(const Napi::CallbackInfo &info);
Napi::Value create_netns(const Napi::CallbackInfo &info);
bool delete_netns(const Napi::CallbackInfo &info);
