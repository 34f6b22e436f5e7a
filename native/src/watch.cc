// SPDX-License-Identifier: Apache-2.0
// One thread per watch that only polls; what there is to read is read on the JavaScript thread.
#include "watch.h"

#include "fd.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <thread>

class Watcher
{
public:
	Watcher(Napi::Env env, const std::string &name, Napi::Function callback, int fd,
		Drain drain)
		: state_(std::make_shared<State>(std::move(drain))),
		  function_(Napi::ThreadSafeFunction::New(env, callback, name, 0, 1)),
		  thread_([this, fd] { poll_until_closed(fd); })
	{
	}

	~Watcher()
	{
		state_->closed = true;
		state_->resume();
		thread_.join();
		if (!environment_gone_)
			function_.Release();
	}

private:
	// Shared with a call that may be under way when the callback closes the watch.
	struct State {
		explicit State(Drain drain) : drain(std::move(drain)) {}
		void resume() const
		{
			eventfd_write(wake.get(), 1);
		}

		Drain drain;
		std::atomic<bool> closed = false;
		Fd wake{eventfd(0, EFD_CLOEXEC)};
	};

	static void call(Napi::Env env, Napi::Function callback, std::shared_ptr<State> *shared)
	{
		std::unique_ptr<std::shared_ptr<State>> owner(shared);
		std::shared_ptr<State> state = *owner;
		auto open = [&] { return !state->closed; };
		try {
			if (open())
				state->drain(callback, open);
		} catch (const Napi::Error &error) {
			// Node-API by itself only warns of it.
			napi_fatal_exception(env, error.Value());
		}
		resume_next_turn(env, state);
	}

	// Node takes one call after the other while they come: one comes each turn of the event
	// loop.
	static void resume_next_turn(Napi::Env env, const std::shared_ptr<State> &state)
	{
		auto resume = [state](const Napi::CallbackInfo &) { state->resume(); };
		try {
			Napi::Value later = env.Global().Get("setImmediate");
			later.As<Napi::Function>().Call({Napi::Function::New(env, resume)});
		} catch (const Napi::Error &) { // the environment ends
			state->resume();
		}
	}

	void poll_until_closed(int fd)
	{
		pollfd fds[] = {{fd, POLLIN, 0}, {state_->wake.get(), POLLIN, 0}};
		eventfd_t value;

		while (!state_->closed) {
			if (poll(fds, 2, -1) < 0 || !fds[0].revents || state_->closed)
				continue;
			if (function_.BlockingCall(new std::shared_ptr<State>(state_), call) !=
			    napi_ok) {
				environment_gone_ = true;
				return;
			}
			eventfd_read(state_->wake.get(), &value);
		}
	}

	std::shared_ptr<State> state_;
	Napi::ThreadSafeFunction function_;
	bool environment_gone_ = false;
	std::thread thread_;
};

WatchResource::WatchResource(Napi::Env env, std::string name, Napi::Function callback, int fd,
			     Drain drain)
	: name(name), watcher(std::make_unique<Watcher>(env, name, callback, fd, std::move(drain)))
{
}
WatchResource::WatchResource(WatchResource &&) = default;
WatchResource &WatchResource::operator=(WatchResource &&) = default;
WatchResource::~WatchResource() = default;
