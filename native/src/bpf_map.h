// SPDX-License-Identifier: Apache-2.0
// BpfMap: entries of a map as bytes.
#pragma once

#include "bpf_fd.h"
#include "handle.h"

// The contract's name for a map type and back; `other` for the rest.
const char *map_type_name(uint32_t type);
bpf_map_type map_type_named(const std::string &name);

struct MapResource {
	Fd fd;
	std::string name; // the full ELF name where it is known
	bpf_map_info info;

	explicit MapResource(Fd fd, std::string name = {});
	std::string label() const
	{
		return "map " + quoted(name);
	}
	size_t stored_value_size() const; // of all CPUs together for per-CPU maps
};

struct Entries;

class BpfMap : public Handle<BpfMap, MapResource>
{
public:
	static constexpr const char *kClassName = "BpfMap";
	static std::vector<Napi::ClassPropertyDescriptor<BpfMap>> members();

	using Handle::Handle;

private:
	Napi::Value info(const Napi::CallbackInfo &info);
	Napi::Value get(const Napi::CallbackInfo &info);
	void put(const Napi::CallbackInfo &info);
	void put_map(const Napi::CallbackInfo &info);
	void put_program(const Napi::CallbackInfo &info);
	void put_all(const Napi::CallbackInfo &info);
	void copy_to(const Napi::CallbackInfo &info);
	Napi::Value types(const Napi::CallbackInfo &info);
	bool erase(const Napi::CallbackInfo &info);
	bool erase_program(const Napi::CallbackInfo &info);
	Napi::Value entries(const Napi::CallbackInfo &info);
	Napi::Value dump(const Napi::CallbackInfo &info);
	Napi::Value keys(const Napi::CallbackInfo &info);
	void pin(const Napi::CallbackInfo &info);

	const uint8_t *key(Napi::Value value) const;
	const uint8_t *value(Napi::Value value) const;
	bool erase_key(const void *key) const;
	void write(const void *key, const void *value, uint64_t flags) const;
	void write_all(const Entries &entries) const;
};
