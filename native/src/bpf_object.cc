// SPDX-License-Identifier: Apache-2.0
// Loading an ELF with libbpf, off the event loop.
#include "bpf_object.h"

#include "bpf_map.h"
#include "bpf_program.h"
#include "libbpf_log.h"
#include "value.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <memory>
#include <vector>

using ByteVector = std::vector<uint8_t>;

struct LoadOptions {
	std::string path; // or, when empty, `image`
	ByteVector image;
	std::string name;
	std::vector<std::pair<std::string, ByteVector>> variables;
	std::vector<std::pair<std::string, Fd>> reuse;
	std::vector<std::pair<std::string, uint32_t>> max_entries;

	std::string operation() const
	{
		return "load " + (path.empty() ? "object " + quoted(name) : path);
	}
};

struct Loaded {
	std::vector<std::pair<std::string, Fd>> programs, maps;
};

struct CloseObject {
	void operator()(bpf_object *object) const
	{
		bpf_object__close(object);
	}
};
using ObjectPointer = std::unique_ptr<bpf_object, CloseObject>;

static ObjectPointer open_object(const LoadOptions &options)
{
	LIBBPF_OPTS(bpf_object_open_opts, open_options);
	if (!options.name.empty())
		open_options.object_name = options.name.c_str();

	bpf_object *object = options.path.empty()
				     ? bpf_object__open_mem(options.image.data(),
							    options.image.size(), &open_options)
				     : bpf_object__open_file(options.path.c_str(), &open_options);
	if (!object && errno >= __LIBBPF_ERRNO__START) {
		char reason[128];
		libbpf_strerror(errno, reason, sizeof(reason));
		throw Failure(EINVAL, options.operation(), reason);
	}
	if (!object)
		throw Failure(errno, options.operation());
	return ObjectPointer(object);
}

static bpf_map *find_map(bpf_object *object, const std::string &name, const std::string &operation)
{
	bpf_map *map = bpf_object__find_map_by_name(object, name.c_str());
	if (!map)
		throw Failure(EINVAL, operation, "the object has no map " + quoted(name));
	return map;
}

// Where a global variable lies: its section's map and its place there.
struct Variable {
	bpf_map *section;
	uint32_t offset, size;
};

static std::string name_at(const btf *types, uint32_t offset)
{
	const char *name = btf__name_by_offset(types, offset);
	return name ? name : "";
}

static Variable find_variable(bpf_object *object, const std::string &name,
			      const std::string &operation)
{
	const btf *types = bpf_object__btf(object);

	for (uint32_t id = 1; types && id < btf__type_cnt(types); id++) {
		const btf_type *type = btf__type_by_id(types, id);
		if (!btf_is_datasec(type))
			continue;

		bpf_map *section = bpf_object__find_map_by_name(
			object, name_at(types, type->name_off).c_str());
		const btf_var_secinfo *place = btf_var_secinfos(type);
		for (int i = 0; section && i < btf_vlen(type); i++, place++) {
			const btf_type *variable = btf__type_by_id(types, place->type);
			if (variable && name == name_at(types, variable->name_off))
				return {section, place->offset, place->size};
		}
	}
	throw Failure(EINVAL, operation, "the object has no variable " + quoted(name));
}

static void set_variable(bpf_object *object, const std::string &name, const ByteVector &bytes,
			 const std::string &operation)
{
	Variable variable = find_variable(object, name, operation);
	if (variable.size != bytes.size())
		throw Failure(EINVAL, operation,
			      "variable " + quoted(name) + " has " + std::to_string(variable.size) +
				      " bytes, not " + std::to_string(bytes.size()));

	size_t size = 0;
	auto initial =
		static_cast<const uint8_t *>(bpf_map__initial_value(variable.section, &size));
	if (!initial || size_t{variable.offset} + variable.size > size)
		throw Failure(EINVAL, operation,
			      "variable " + quoted(name) + " lies outside its section");

	ByteVector contents(initial, initial + size);
	std::copy(bytes.begin(), bytes.end(), contents.begin() + variable.offset);
	check(bpf_map__set_initial_value(variable.section, contents.data(), size),
	      [&] { return operation; });
}

static std::string layout(uint32_t type, uint32_t key_size, uint32_t value_size)
{
	return std::string(map_type_name(type)) + " with keys of " + std::to_string(key_size) +
	       " and values of " + std::to_string(value_size) + " bytes";
}

static void reuse_map(bpf_object *object, const std::string &name, const Fd &fd,
		      const std::string &operation)
{
	bpf_map *map = find_map(object, name, operation);
	bpf_map_info existing = map_info(fd);
	std::string wanted =
		layout(bpf_map__type(map), bpf_map__key_size(map), bpf_map__value_size(map));
	std::string found = layout(existing.type, existing.key_size, existing.value_size);

	if (wanted != found)
		throw Failure(EINVAL, operation,
			      "map " + quoted(name) + " is " + wanted + ", the given one is " +
				      found);
	check(bpf_map__reuse_fd(map, fd.get()), [&] { return operation; });
}

// libbpf calls the map of a section `object.rodata`; here it is `.rodata`.
static std::string map_name(const bpf_map *map)
{
	std::string name = bpf_map__name(map);
	size_t dot = name.find('.');
	return dot == name.npos ? name : name.substr(dot);
}

static Loaded load_object(const LoadOptions &options)
{
	std::string operation = options.operation();
	ObjectPointer object = open_object(options);
	Loaded loaded;

	for (auto &[name, bytes] : options.variables)
		set_variable(object.get(), name, bytes, operation);
	for (auto &[name, fd] : options.reuse)
		reuse_map(object.get(), name, fd, operation);
	for (auto &[name, count] : options.max_entries)
		check(bpf_map__set_max_entries(find_map(object.get(), name, operation), count),
		      [&] { return operation; });
	check(bpf_object__load(object.get()), [&] { return operation; });

	for (bpf_program *program = nullptr;
	     (program = bpf_object__next_program(object.get(), program));)
		loaded.programs.emplace_back(bpf_program__name(program),
					     duplicate(bpf_program__fd(program)));
	for (bpf_map *map = nullptr; (map = bpf_object__next_map(object.get(), map));)
		loaded.maps.emplace_back(map_name(map), duplicate(bpf_map__fd(map)));
	return loaded;
}

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
	Loader(Napi::Env env, LoadOptions options)
		: Napi::AsyncWorker(env, "inkev.load"), promise(Napi::Promise::Deferred::New(env)),
		  options_(std::move(options))
	{
	}

	const Napi::Promise::Deferred promise;

protected:
	void Execute() override
	{
		std::string log;
		LogCapture capture(log);
		try {
			loaded_ = load_object(options_);
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
				{options_.path.empty() ? options_.name : options_.path,
				 Napi::Persistent(handles_by_name<Program>(env, loaded_.programs)),
				 Napi::Persistent(handles_by_name<BpfMap>(env, loaded_.maps))}));
		} catch (const Failure &failure) {
			promise.Reject(failure.to_error(env).Value());
		}
	}

private:
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

static LoadOptions read_options(Napi::Object given)
{
	LoadOptions options;
	Napi::Value elf = given.Get("elf");
	if (elf.IsString())
		options.path = to_text(elf, "elf");
	else
		options.image = copied(elf, "elf");
	options.name = text_option(given, "name").value_or("");

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
	return options;
}

Napi::Value load(const Napi::CallbackInfo &info)
{
	try {
		auto loader = new Loader(info.Env(), read_options(to_object(info[0], "options")));
		Napi::Promise promise = loader->promise.Promise();
		loader->Queue();
		return promise;
	} catch (const Failure &failure) {
		auto rejected = Napi::Promise::Deferred::New(info.Env());
		rejected.Reject(failure.to_error(info.Env()).Value());
		return rejected.Promise();
	}
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
