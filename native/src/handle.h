// SPDX-License-Identifier: Apache-2.0
// What all handles share: one owner of a resource, close() twice without harm, CLOSED after that,
// closed when collected.
#pragma once

#include "failure.h"

#include <map>
#include <optional>
#include <string>

// The constructors of one Node environment (main thread or worker), by class name.
using Constructors = std::map<std::string, Napi::FunctionReference>;

// Calls Body and turns a Failure into the pending JavaScript exception; the result into a
// JavaScript value.
template <typename Body> Napi::Value guarded(Napi::Env env, Body body)
{
	try {
		if constexpr (std::is_void_v<decltype(body())>) {
			body();
			return env.Undefined();
		} else {
			return Napi::Value::From(env, body());
		}
	} catch (const Failure &failure) {
		throw failure.to_error(env);
	}
}

// Makes a plain function a property of an exported object.
template <auto Function> void export_function(Napi::Object exports, const char *name)
{
	auto call = [](const Napi::CallbackInfo &info) {
		return guarded(info.Env(), [&] { return Function(info); });
	};
	exports[name] = Napi::Function::New(exports.Env(), call, name);
}

/*
 * The JavaScript object that owns a Resource: moved in, its destructor releases what it owns, and
 * its `std::string label() const` names it in errors. T provides kClassName, the name of the
 * JavaScript class, and members(), what it has beside `close` and `closed`, made by method() and
 * property().
 */
template <typename T, typename R> class Handle : public Napi::ObjectWrap<T>
{
public:
	using Resource = R;

	static void define(Napi::Env env)
	{
		auto members = T::members();
		members.push_back(
			Napi::InstanceWrap<T>::InstanceMethod("close", &Handle::close_from_js));
		members.push_back(Napi::InstanceWrap<T>::InstanceAccessor("closed", &Handle::closed,
									  nullptr));

		Napi::Function constructor =
			Napi::ObjectWrap<T>::DefineClass(env, T::kClassName, members);
		(*env.GetInstanceData<Constructors>())[T::kClassName] =
			Napi::Persistent(constructor);
	}

	static Napi::Object create(Napi::Env env, Resource resource)
	{
		auto &constructor = env.GetInstanceData<Constructors>()->at(T::kClassName);
		return constructor.New({Napi::External<Resource>::New(env, &resource)});
	}

	// The handle behind an argument; EINVAL when it is something else.
	static T &unwrap(Napi::Value value, const char *name)
	{
		auto &constructor = value.Env().GetInstanceData<Constructors>()->at(T::kClassName);
		if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(constructor.Value()))
			throw Failure(EINVAL, "read argument " + quoted(name),
				      std::string("it is not a ") + T::kClassName);
		return *T::Unwrap(value.As<Napi::Object>());
	}

	explicit Handle(const Napi::CallbackInfo &info) : Napi::ObjectWrap<T>(info)
	{
		if (!info[0].IsExternal())
			throw Failure(EPERM, std::string("construct ") + T::kClassName,
				      "handles come from calls")
				.to_error(info.Env());
		resource_ = std::move(*info[0].As<Napi::External<Resource>>().Data());
		label_ = resource_->label();
	}

	// The open resource; throws CLOSED when there is none.
	const Resource &resource() const
	{
		if (!resource_)
			throw Failure::closed("use " + label_);
		return *resource_;
	}

	const std::string &label() const
	{
		return label_;
	}

	bool is_closed() const
	{
		return !resource_;
	}

	void close()
	{
		resource_.reset();
	}

protected:
	template <auto Method> static auto method(const char *name)
	{
		return Napi::InstanceWrap<T>::InstanceMethod(name, &Handle::template call<Method>);
	}

	template <auto Getter> static auto property(const char *name)
	{
		return Napi::InstanceWrap<T>::InstanceAccessor(name, &Handle::template call<Getter>,
							       nullptr);
	}

private:
	template <auto Method> Napi::Value call(const Napi::CallbackInfo &info)
	{
		return guarded(info.Env(), [&] {
			resource();
			return (static_cast<T *>(this)->*Method)(info);
		});
	}

	Napi::Value closed(const Napi::CallbackInfo &info)
	{
		return Napi::Boolean::New(info.Env(), is_closed());
	}

	Napi::Value close_from_js(const Napi::CallbackInfo &info)
	{
		return guarded(info.Env(), [&] { static_cast<T *>(this)->close(); });
	}

	std::optional<Resource> resource_;
	std::string label_;
};
