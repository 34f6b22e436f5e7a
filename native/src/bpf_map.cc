// SPDX-License-Identifier: Apache-2.0
// Reading and writing maps, entry by entry and in batches.
#include "bpf_map.h"

#include "bpf_program.h"
#include "value.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <unordered_set>
#include <vector>

static const std::pair<const char *, bpf_map_type> kMapTypes[] = {
	{"hash", BPF_MAP_TYPE_HASH},
	{"array", BPF_MAP_TYPE_ARRAY},
	{"prog_array", BPF_MAP_TYPE_PROG_ARRAY},
	{"percpu_hash", BPF_MAP_TYPE_PERCPU_HASH},
	{"percpu_array", BPF_MAP_TYPE_PERCPU_ARRAY},
	{"lru_hash", BPF_MAP_TYPE_LRU_HASH},
	{"lru_percpu_hash", BPF_MAP_TYPE_LRU_PERCPU_HASH},
	{"lpm_trie", BPF_MAP_TYPE_LPM_TRIE},
	{"ringbuf", BPF_MAP_TYPE_RINGBUF},
	{"array_of_maps", BPF_MAP_TYPE_ARRAY_OF_MAPS},
	{"hash_of_maps", BPF_MAP_TYPE_HASH_OF_MAPS},
};

const char *map_type_name(uint32_t type)
{
	for (auto [name, number] : kMapTypes)
		if (number == type)
			return name;
	return "other";
}

bpf_map_type map_type_named(const std::string &wanted)
{
	for (auto [name, number] : kMapTypes)
		if (name == wanted)
			return number;
	throw Failure(EINVAL, "create a map of type " + quoted(wanted), "no such type");
}

MapResource::MapResource(Fd owned, std::string known_name)
	: fd(std::move(owned)), name(std::move(known_name)), info(map_info(fd))
{
	if (name.empty())
		name = info.name;
}

static bool is_per_cpu(uint32_t type)
{
	return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

// The kernel keeps the value of each CPU at a multiple of 8 bytes.
static size_t stride(const MapResource &map)
{
	return (map.info.value_size + 7) & ~size_t{7};
}

size_t MapResource::stored_value_size() const
{
	return is_per_cpu(info.type) ? stride(*this) * libbpf_num_possible_cpus() : info.value_size;
}

// Entries one after the other, all of the map's sizes.
struct Entries {
	std::vector<uint8_t> keys, values;
	size_t count = 0;
};

static size_t batch_size(const MapResource &map)
{
	constexpr size_t kBatchBytes = 1 << 20;
	size_t fitting = kBatchBytes / (map.info.key_size + map.stored_value_size() + 1);
	return std::clamp<size_t>(fitting, 16, std::max<size_t>(map.info.max_entries, 16));
}

// EINVAL comes from kernels before 5.6.
static bool lacks_batches(int result)
{
	return result == -kNotSupported || result == -EOPNOTSUPP || result == -EINVAL;
}

// False when the map type has no batch operations.
static bool read_batches(const MapResource &map, Entries &entries)
{
	size_t key_size = map.info.key_size, value_size = map.stored_value_size();
	size_t chunk = batch_size(map);
	std::vector<uint8_t> position(std::max<size_t>(key_size, sizeof(uint32_t))),
		next(position.size());
	bool first = true;

	for (;;) {
		entries.keys.resize((entries.count + chunk) * key_size);
		entries.values.resize((entries.count + chunk) * value_size);

		__u32 count = chunk;
		int result = bpf_map_lookup_batch(
			map.fd.get(), first ? nullptr : position.data(), next.data(),
			entries.keys.data() + entries.count * key_size,
			entries.values.data() + entries.count * value_size, &count, nullptr);
		if (first && lacks_batches(result))
			return false;
		if (result == -ENOSPC) { // a hash bucket holds more than a chunk
			chunk *= 2;
			continue;
		}
		if (result != -ENOENT)
			check(result, [&] { return "read entries of " + map.label(); });

		entries.count += count;
		if (result == -ENOENT)
			return true;
		position.swap(next);
		first = false;
	}
}

static void read_one(const MapResource &map, const void *key, Entries &entries)
{
	size_t value_size = map.stored_value_size();
	entries.values.resize((entries.count + 1) * value_size);

	int result = bpf_map_lookup_elem(map.fd.get(), key,
					 entries.values.data() + entries.count * value_size);
	if (result == -ENOENT)
		return;
	check(result, [&] { return "read entries of " + map.label(); });

	auto bytes = static_cast<const uint8_t *>(key);
	entries.keys.resize(entries.count * map.info.key_size);
	entries.keys.insert(entries.keys.end(), bytes, bytes + map.info.key_size);
	entries.count++;
}

// One system call per slot or key: for prog arrays, the one type in use without batches.
static void read_one_by_one(const MapResource &map, Entries &entries)
{
	std::vector<uint8_t> key(map.info.key_size), next(key.size());
	bool first = true;

	for (uint32_t i = 0; i < map.info.max_entries; i++) {
		int result = bpf_map_get_next_key(map.fd.get(), first ? nullptr : key.data(),
						  next.data());
		if (result == -ENOENT)
			return;
		check(result, [&] { return "read keys of " + map.label(); });
		key.swap(next);
		first = false;
		read_one(map, key.data(), entries);
	}
}

static Entries read_entries(const MapResource &map)
{
	Entries entries;
	if (!read_batches(map, entries)) {
		entries.count = 0;
		read_one_by_one(map, entries);
	}
	return entries;
}

/*
 * Calls `each` with the index of every distinct key. A key deleted meanwhile sends the kernel's
 * walk of an LPM trie back to the start, so that it reports others twice.
 */
template <typename Each>
static void for_distinct(const Entries &entries, size_t key_size, Each each)
{
	std::unordered_set<std::string_view> seen;
	seen.reserve(entries.count);
	for (size_t i = 0; i < entries.count; i++) {
		auto key = reinterpret_cast<const char *>(entries.keys.data() + i * key_size);
		if (seen.emplace(key, key_size).second)
			each(i);
	}
}

std::vector<Napi::ClassPropertyDescriptor<BpfMap>> BpfMap::members()
{
	return {
		property<&BpfMap::info>("info"),
		method<&BpfMap::get>("get"),
		method<&BpfMap::put>("put"),
		method<&BpfMap::erase>("delete"),
		method<&BpfMap::entries>("entries"),
		method<&BpfMap::dump>("dump"),
		method<&BpfMap::keys>("keys"),
		method<&BpfMap::put_all>("putAll"),
		method<&BpfMap::copy_to>("copyTo"),
		method<&BpfMap::types>("types"),
		method<&BpfMap::put_program>("putProgram"),
		method<&BpfMap::erase_program>("deleteProgram"),
		method<&BpfMap::put_map>("putMap"),
		method<&BpfMap::pin>("pin"),
	};
}

Napi::Value BpfMap::info(const Napi::CallbackInfo &call)
{
	const MapResource &map = resource();
	auto result = Napi::Object::New(call.Env());

	result["id"] = map.info.id;
	result["type"] = map_type_name(map.info.type);
	result["name"] = map.info.name;
	result["keySize"] = map.info.key_size;
	result["valueSize"] = map.info.value_size;
	result["maxEntries"] = map.info.max_entries;
	result["flags"] = map.info.map_flags;
	result["cpus"] = libbpf_num_possible_cpus();
	return result;
}

static void check_size(const MapResource &map, const char *what, size_t size, size_t expected)
{
	if (size != expected)
		throw Failure(EINVAL, "use " + map.label(),
			      std::string("its ") + what + " has " + std::to_string(expected) +
				      " bytes, not " + std::to_string(size));
}

const uint8_t *BpfMap::key(Napi::Value value) const
{
	Bytes bytes = to_bytes(value, "key");
	check_size(resource(), "key", bytes.size, resource().info.key_size);
	return bytes.data;
}

const uint8_t *BpfMap::value(Napi::Value value) const
{
	Bytes bytes = to_bytes(value, "value");
	check_size(resource(), "value", bytes.size, resource().stored_value_size());
	return bytes.data;
}

Napi::Value BpfMap::get(const Napi::CallbackInfo &info)
{
	std::vector<uint8_t> value(resource().stored_value_size());
	int result = bpf_map_lookup_elem(resource().fd.get(), key(info[0]), value.data());
	if (result == -ENOENT)
		return info.Env().Undefined();

	check(result, [&] { return "read an entry of " + label(); });
	return to_buffer(info.Env(), value.data(), value.size());
}

static const char *update_reason(int error)
{
	switch (error) {
	case E2BIG:
		return "the map is full, or has no such index";
	case EEXIST:
		return "the key is taken";
	case ENOENT:
		return "no such key";
	default:
		return "";
	}
}

void BpfMap::write(const void *key, const void *value, uint64_t flags) const
{
	int result = bpf_map_update_elem(resource().fd.get(), key, value, flags);
	if (result < 0)
		throw Failure(-result, "write an entry of " + label(), update_reason(-result));
}

static uint64_t update_flags(Napi::Value value)
{
	std::string mode = value.IsUndefined() ? "any" : to_text(value, "mode");
	if (mode == "any")
		return BPF_ANY;
	if (mode == "ifAbsent")
		return BPF_NOEXIST;
	if (mode == "ifPresent")
		return BPF_EXIST;
	throw Failure(EINVAL, "read argument \"mode\"", "it is not any, ifAbsent or ifPresent");
}

void BpfMap::put(const Napi::CallbackInfo &info)
{
	write(key(info[0]), value(info[1]), update_flags(info[2]));
}

void BpfMap::put_map(const Napi::CallbackInfo &info)
{
	int fd = BpfMap::unwrap(info[1], "map").resource().fd.get();
	check_size(resource(), "value", sizeof(fd), resource().info.value_size);
	write(key(info[0]), &fd, BPF_ANY);
}

void BpfMap::put_program(const Napi::CallbackInfo &info)
{
	uint32_t slot = to_number(info[0], "slot");
	int fd = Program::unwrap(info[1], "program").resource().fd.get();

	check_size(resource(), "key", sizeof(slot), resource().info.key_size);
	check_size(resource(), "value", sizeof(fd), resource().info.value_size);
	write(&slot, &fd, BPF_ANY);
}

void BpfMap::write_all(const Entries &entries) const
{
	__u32 count = entries.count;
	if (count == 0)
		return;

	int result = bpf_map_update_batch(resource().fd.get(), entries.keys.data(),
					  entries.values.data(), &count, nullptr);
	if (lacks_batches(result))
		for (size_t i = 0; i < entries.count; i++)
			write(entries.keys.data() + i * resource().info.key_size,
			      entries.values.data() + i * resource().stored_value_size(), BPF_ANY);
	else if (result < 0)
		throw Failure(-result,
			      "write " + std::to_string(entries.count) + " entries of " + label(),
			      update_reason(-result));
}

void BpfMap::put_all(const Napi::CallbackInfo &info)
{
	auto list = to_object(info[0], "entries").As<Napi::Array>();
	size_t key_size = resource().info.key_size, value_size = resource().stored_value_size();
	Entries entries;

	for (uint32_t i = 0; i < list.Length(); i++) {
		Napi::Object entry = to_object(list.Get(i), "entry");
		const uint8_t *entry_key = key(entry.Get(0u)), *entry_value = value(entry.Get(1u));
		entries.keys.insert(entries.keys.end(), entry_key, entry_key + key_size);
		entries.values.insert(entries.values.end(), entry_value, entry_value + value_size);
		entries.count++;
	}
	write_all(entries);
}

static bool is_array(uint32_t type)
{
	return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

// The entries as `to` holds them: of each value the first `bytes`, zeros behind them.
static Entries fitted(const Entries &entries, const MapResource &from, const MapResource &to,
		      size_t bytes)
{
	size_t from_stride = stride(from), to_stride = stride(to), cpus = 1;
	if (is_per_cpu(from.info.type))
		cpus = libbpf_num_possible_cpus();
	else
		from_stride = from.info.value_size, to_stride = to.info.value_size;

	Entries result;
	result.count = is_array(to.info.type) ? std::min<size_t>(entries.count, to.info.max_entries)
					      : entries.count;
	result.keys.assign(entries.keys.begin(),
			   entries.keys.begin() + result.count * from.info.key_size);
	result.values.resize(result.count * to_stride * cpus);
	for (size_t i = 0; i < result.count * cpus; i++)
		std::copy_n(entries.values.begin() + i * from_stride, bytes,
			    result.values.begin() + i * to_stride);
	return result;
}

void BpfMap::copy_to(const Napi::CallbackInfo &info)
{
	const BpfMap &target = BpfMap::unwrap(info[0], "target");
	const MapResource &from = resource(), &to = target.resource();
	size_t bytes = to_number(info[1], "bytes");

	if (from.info.type != to.info.type || from.info.key_size != to.info.key_size ||
	    bytes > std::min(from.info.value_size, to.info.value_size))
		throw Failure(EINVAL, "copy " + label(), "the target is of another layout");
	target.write_all(fitted(read_entries(from), from, to, bytes));
}

Napi::Value BpfMap::types(const Napi::CallbackInfo &info)
{
	const bpf_map_info &map = resource().info;
	if (map.btf_id == 0 || map.btf_value_type_id == 0)
		return info.Env().Undefined();

	auto result = Napi::Object::New(info.Env());
	std::vector<uint8_t> btf = read_btf(map.btf_id);
	result["btf"] = to_buffer(info.Env(), btf.data(), btf.size());
	result["key"] = map.btf_key_type_id;
	result["value"] = map.btf_value_type_id;
	return result;
}

bool BpfMap::erase_key(const void *key) const
{
	int result = bpf_map_delete_elem(resource().fd.get(), key);
	if (result == -ENOENT)
		return false;

	check(result, [&] { return "delete an entry of " + label(); });
	return true;
}

bool BpfMap::erase(const Napi::CallbackInfo &info)
{
	return erase_key(key(info[0]));
}

bool BpfMap::erase_program(const Napi::CallbackInfo &info)
{
	uint32_t slot = to_number(info[0], "slot");
	check_size(resource(), "key", sizeof(slot), resource().info.key_size);
	return erase_key(&slot);
}

Napi::Value BpfMap::entries(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	Entries entries = read_entries(resource());
	size_t key_size = resource().info.key_size, value_size = resource().stored_value_size();
	auto result = Napi::Array::New(env);
	uint32_t length = 0;

	for_distinct(entries, key_size, [&](size_t i) {
		auto entry = Napi::Array::New(env, 2);
		entry[0u] = to_buffer(env, entries.keys.data() + i * key_size, key_size);
		entry[1u] = to_buffer(env, entries.values.data() + i * value_size, value_size);
		result[length++] = entry;
	});
	return result;
}

Napi::Value BpfMap::dump(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	Entries entries = read_entries(resource());
	auto result = Napi::Object::New(env);

	result["count"] = static_cast<double>(entries.count);
	result["keys"] =
		to_buffer(env, entries.keys.data(), entries.count * resource().info.key_size);
	result["values"] = to_buffer(env, entries.values.data(),
				     entries.count * resource().stored_value_size());
	return result;
}

Napi::Value BpfMap::keys(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	Entries entries = read_entries(resource());
	size_t key_size = resource().info.key_size;
	auto result = Napi::Array::New(env);
	uint32_t length = 0;

	for_distinct(entries, key_size, [&](size_t i) {
		result[length++] = to_buffer(env, entries.keys.data() + i * key_size, key_size);
	});
	return result;
}

void BpfMap::pin(const Napi::CallbackInfo &info)
{
	::pin(resource().fd, to_text(info[0], "path"), label());
}
