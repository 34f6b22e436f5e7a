// SPDX-License-Identifier: Apache-2.0
// Watch: a handle that calls back whenever a descriptor has something to read.
#pragma once

#include "handle.h"

#include <functional>
#include <memory>

class Watcher;

/*
 * Reads all there is and calls back for each piece, on the JavaScript thread; `open` turns false
 * when the callback closes the watch.
 */
using Drain = std::function<void(Napi::Function callback, const std::function<bool()> &open)>;

struct WatchResource {
	std::string name;
	std::unique_ptr<Watcher> watcher;

	WatchResource(Napi::Env env, std::string name, Napi::Function callback, int fd,
		      Drain drain);
	WatchResource(WatchResource &&);
	WatchResource &operator=(WatchResource &&);
	~WatchResource();

	std::string label() const
	{
		return "watch on " + name;
	}
};

// Keeps the event loop alive until it is closed.
class Watch : public Handle<Watch, WatchResource>
{
public:
	static constexpr const char *kClassName = "Watch";
	static std::vector<Napi::ClassPropertyDescriptor<Watch>> members()
	{
		return {};
	}

	using Handle::Handle;
};
