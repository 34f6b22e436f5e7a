// SPDX-License-Identifier: Apache-2.0
// Loading off the event loop, and what comes of it in JavaScript.
#include "bpf_object.h"

#include "bpf_map.h"
#include "bpf_program.h"
#include "bpf_template.h"
#include "libbpf_log.h"
#include "value.h"

template <typename T>
static Napi::Object handles_by_name(Napi::Env env, std::vector<std::pair<std::string, Fd>> &fds)
{
	Napi::Object map = env.Global().Get("Map").As<Napi::Function>().New({});
	Napi::Function set = map.Get("set").As<Napi::Function>();

	for (auto &[name, fd] : fds)
		set.Call(map, {Napi::String::New(env, name),
			       T::create(env, typename T::Resource(std::move(fd), name))});
	return map;
}

class Loader : public Napi::AsyncWorker
{
public:
	Loader(Napi::Env env, std::shared_ptr<Template> given, LoadOptions options)
		: Napi::AsyncWorker(env, "inkev.load"), promise(Napi::Promise::Deferred::New(env)),
		  template_(std::move(given)), options_(std::move(options))
	{
	}

	const Napi::Promise::Deferred promise;

protected:
	void Execute() override
	{
		std::string log;
		LogCapture capture(log);
		try {
			loaded_ = template_->load(options_);
		} catch (Failure &failure) {
			failure.log = log;
			failure_ = failure;
		}
	}

	void OnOK() override
	{
		Napi::Env env = Env();
		if (failure_)
			return promise.Reject(failure_->to_error(env).Value());

		try {
			promise.Resolve(BpfObject::create(
				env,
				{template_->source.path.empty() ? template_->source.name
								: template_->source.path,
				 Napi::Persistent(handles_by_name<Program>(env, loaded_.programs)),
				 Napi::Persistent(handles_by_name<BpfMap>(env, loaded_.maps))}));
		} catch (const Failure &failure) {
			promise.Reject(failure.to_error(env).Value());
		}
	}

private:
	std::shared_ptr<Template> template_;
	LoadOptions options_;
	Loaded loaded_;
	std::optional<Failure> failure_;
};

// Calls `each` with the name and value of every property of an optional object.
template <typename Each>
static void for_properties(Napi::Object options, const char *name, Each each)
{
	Napi::Value value = options.Get(name);
	if (value.IsUndefined())
		return;
	for (const auto &property : to_object(value, name)) {
		std::string key = property.first.ToString();
		each(key, static_cast<Napi::Value>(property.second));
	}
}

static ByteVector copied(Napi::Value value, const char *name)
{
	Bytes bytes = to_bytes(value, name);
	return {bytes.data, bytes.data + bytes.size};
}

static std::shared_ptr<Template> read_template(Napi::Object given)
{
	ElfSource source;
	Napi::Value elf = given.Get("elf");
	if (elf.IsString())
		source.path = to_text(elf, "elf");
	else
		source.image = copied(elf, "elf");
	source.name = text_option(given, "name").value_or("");
	return std::make_shared<Template>(std::move(source));
}

static LoadOptions read_options(Napi::Object given)
{
	LoadOptions options;
	for_properties(given, "rodata", [&](const std::string &name, Napi::Value value) {
		options.variables.emplace_back(name, copied(value, name.c_str()));
	});
	for_properties(given, "reuse", [&](const std::string &name, Napi::Value value) {
		BpfMap &map = BpfMap::unwrap(value, name.c_str());
		options.reuse.emplace_back(name, duplicate(map.resource().fd.get()));
	});
	for_properties(given, "maxEntries", [&](const std::string &name, Napi::Value value) {
		options.max_entries.emplace_back(name, to_number(value, name.c_str()));
	});
	for_properties(given, "immediates", [&](const std::string &mark, Napi::Value value) {
		options.immediates[std::stoul(mark)] = to_number(value, mark.c_str());
	});
	return options;
}

// A promise of the BpfObject that `read` says how to load.
template <typename Read> static Napi::Value load_as(Napi::Env env, Read read)
{
	try {
		Loader *loader = read();
		Napi::Promise promise = loader->promise.Promise();
		loader->Queue();
		return promise;
	} catch (const Failure &failure) {
		auto rejected = Napi::Promise::Deferred::New(env);
		rejected.Reject(failure.to_error(env).Value());
		return rejected.Promise();
	}
}

Napi::Value load(const Napi::CallbackInfo &info)
{
	return load_as(info.Env(), [&] {
		Napi::Object given = to_object(info[0], "options");
		return new Loader(info.Env(), read_template(given), read_options(given));
	});
}

Napi::Value create_template(const Napi::CallbackInfo &info)
{
	return BpfTemplate::create(info.Env(), {read_template(to_object(info[0], "options"))});
}

std::string TemplateResource::label() const
{
	return "template of " + origin->source.label();
}

std::vector<Napi::ClassPropertyDescriptor<BpfTemplate>> BpfTemplate::members()
{
	return {method<&BpfTemplate::load>("load")};
}

Napi::Value BpfTemplate::load(const Napi::CallbackInfo &info)
{
	return load_as(info.Env(), [&] {
		return new Loader(info.Env(), resource().origin,
				  read_options(to_object(info[0], "options")));
	});
}

std::vector<Napi::ClassPropertyDescriptor<BpfObject>> BpfObject::members()
{
	return {property<&BpfObject::programs>("programs"), property<&BpfObject::maps>("maps")};
}

Napi::Value BpfObject::programs(const Napi::CallbackInfo &)
{
	return resource().programs.Value();
}
Napi::Value BpfObject::maps(const Napi::CallbackInfo &)
{
	return resource().maps.Value();
}

static void close_all(Napi::Object handles)
{
	Napi::Function close_each =
		Napi::Function::New(handles.Env(), [](const Napi::CallbackInfo &info) {
			Napi::Object handle = info[0].As<Napi::Object>();
			handle.Get("close").As<Napi::Function>().Call(handle, {});
		});
	handles.Get("forEach").As<Napi::Function>().Call(handles, {close_each});
}

void BpfObject::close()
{
	if (is_closed())
		return;
	close_all(resource().programs.Value());
	close_all(resource().maps.Value());
	Handle::close();
}
