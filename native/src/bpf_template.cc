// SPDX-License-Identifier: Apache-2.0
// Loading an ELF: the first time with libbpf, whose preparations are kept and only repeated by the
// kernel after that.
#include "bpf_template.h"

#include "bpf_fd.h"
#include "bpf_map.h"
#include "failure.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <algorithm>

struct CloseObject {
	void operator()(bpf_object *object) const
	{
		bpf_object__close(object);
	}
};
using ObjectPointer = std::unique_ptr<bpf_object, CloseObject>;

// Where a global variable lies: its section's map and its place there.
struct Variable {
	size_t map;
	uint32_t offset, size;
};

struct MapPlan {
	std::string name; // as the kernel is told
	bpf_map_type type;
	uint32_t key_size, value_size, max_entries;
	bpf_map_create_opts options;
	ByteVector contents; // of a data section
};

// An instruction that names a map by its descriptor.
struct MapUse {
	size_t instruction, map;
};

// An element of a program array that the object declares with its program in it.
struct Slot {
	size_t map;
	uint32_t key;
	size_t program;
};

struct ProgramPlan {
	std::string name;
	bpf_prog_type type;
	std::string license;
	std::vector<bpf_insn> code;
	std::vector<MapUse> uses;
	ByteVector functions; // what the options point to
	bpf_prog_load_opts options;
};

struct Resolved {
	std::vector<MapPlan> maps;
	std::vector<ProgramPlan> programs;
	std::vector<Slot> slots;
	std::map<std::string, Variable> variables;
	Fd types;
	bool complete = false;
};

// libbpf calls the map of a section `object.rodata`; here it is `.rodata`.
static std::string short_name(const std::string &name)
{
	size_t dot = name.find('.');
	return dot == name.npos ? name : name.substr(dot);
}

static size_t find_map(const Resolved &resolved, const std::string &name,
		       const std::string &operation)
{
	for (size_t i = 0; i < resolved.maps.size(); i++)
		if (resolved.maps[i].name == name || short_name(resolved.maps[i].name) == name)
			return i;
	throw Failure(EINVAL, operation, "the object has no map " + quoted(name));
}

static const Variable &find_variable(const Resolved &resolved, const std::string &name, size_t size,
				     const std::string &operation)
{
	auto found = resolved.variables.find(name);
	if (found == resolved.variables.end())
		throw Failure(EINVAL, operation, "the object has no variable " + quoted(name));
	if (found->second.size != size)
		throw Failure(EINVAL, operation,
			      "variable " + quoted(name) + " has " +
				      std::to_string(found->second.size) + " bytes, not " +
				      std::to_string(size));
	return found->second;
}

static std::string layout(uint32_t type, uint32_t key_size, uint32_t value_size)
{
	return std::string(map_type_name(type)) + " with keys of " + std::to_string(key_size) +
	       " and values of " + std::to_string(value_size) + " bytes";
}

static void check_layout(const MapPlan &map, const std::string &name, const Fd &fd,
			 const std::string &operation)
{
	bpf_map_info existing = map_info(fd);
	std::string wanted = layout(map.type, map.key_size, map.value_size);
	std::string found = layout(existing.type, existing.key_size, existing.value_size);

	if (wanted != found)
		throw Failure(EINVAL, operation,
			      "map " + quoted(name) + " is " + wanted + ", the given one is " +
				      found);
}

// The object as one load wants it: other contents and sizes, some maps given.
struct Wanted {
	std::vector<ByteVector> contents;
	std::vector<uint32_t> max_entries;
	std::vector<const Fd *> reuse;

	Wanted(const Resolved &resolved, const LoadOptions &options, const std::string &operation)
		: reuse(resolved.maps.size())
	{
		for (auto &map : resolved.maps) {
			contents.push_back(map.contents);
			max_entries.push_back(map.max_entries);
		}
		for (auto &[name, bytes] : options.variables) {
			const Variable &variable =
				find_variable(resolved, name, bytes.size(), operation);
			std::copy(bytes.begin(), bytes.end(),
				  contents[variable.map].begin() + variable.offset);
		}
		for (auto &[name, fd] : options.reuse) {
			size_t map = find_map(resolved, name, operation);
			check_layout(resolved.maps[map], name, fd, operation);
			reuse[map] = &fd;
		}
		for (auto &[name, count] : options.max_entries)
			max_entries[find_map(resolved, name, operation)] = count;
	}
};

// Sets the immediates of moves that the options name.
static void replace_immediates(std::vector<bpf_insn> &code, const LoadOptions &options)
{
	for (auto &instruction : code) {
		bool moves = instruction.code == (BPF_ALU | BPF_MOV | BPF_K) ||
			     instruction.code == (BPF_ALU64 | BPF_MOV | BPF_K);
		auto found = moves ? options.immediates.find(instruction.imm)
				   : options.immediates.end();
		if (found != options.immediates.end())
			instruction.imm = found->second;
	}
}

/* ---- the first load, by libbpf ---- */

static ObjectPointer open_object(const ElfSource &source, const std::string &operation)
{
	LIBBPF_OPTS(bpf_object_open_opts, options);
	if (!source.name.empty())
		options.object_name = source.name.c_str();

	bpf_object *object =
		source.path.empty()
			? bpf_object__open_mem(source.image.data(), source.image.size(), &options)
			: bpf_object__open_file(source.path.c_str(), &options);
	if (!object && errno >= __LIBBPF_ERRNO__START) {
		char reason[128];
		libbpf_strerror(errno, reason, sizeof(reason));
		throw Failure(EINVAL, operation, reason);
	}
	if (!object)
		throw Failure(errno, operation);
	return ObjectPointer(object);
}

static std::vector<bpf_map *> maps_of(bpf_object *object)
{
	std::vector<bpf_map *> maps;
	for (bpf_map *map = nullptr; (map = bpf_object__next_map(object, map));)
		maps.push_back(map);
	return maps;
}

static std::vector<MapPlan> plan_maps(bpf_object *object)
{
	std::vector<MapPlan> plans;
	for (bpf_map *map : maps_of(object)) {
		size_t size = 0;
		auto initial = static_cast<const uint8_t *>(bpf_map__initial_value(map, &size));
		ByteVector contents(initial, initial + (initial ? size : 0));
		plans.push_back({bpf_map__name(map), bpf_map__type(map), bpf_map__key_size(map),
				 bpf_map__value_size(map), bpf_map__max_entries(map),
				 bpf_map_create_opts{}, std::move(contents)});
	}
	return plans;
}

static std::string name_at(const btf *types, uint32_t offset)
{
	const char *name = btf__name_by_offset(types, offset);
	return name ? name : "";
}

// The variables of the data sections that are maps.
static std::map<std::string, Variable> plan_variables(bpf_object *object)
{
	const btf *types = bpf_object__btf(object);
	std::vector<bpf_map *> maps = maps_of(object);
	std::map<std::string, Variable> variables;

	for (uint32_t id = 1; types && id < btf__type_cnt(types); id++) {
		const btf_type *type = btf__type_by_id(types, id);
		if (!btf_is_datasec(type))
			continue;

		auto map = std::find(maps.begin(), maps.end(),
				     bpf_object__find_map_by_name(
					     object, name_at(types, type->name_off).c_str()));
		size_t size = 0;
		if (map == maps.end() || !bpf_map__initial_value(*map, &size))
			continue;
		const btf_var_secinfo *place = btf_var_secinfos(type);
		for (int i = 0; i < btf_vlen(type); i++, place++) {
			const btf_type *variable = btf__type_by_id(types, place->type);
			if (variable && size_t{place->offset} + place->size <= size)
				variables[name_at(types, variable->name_off)] = {
					size_t(map - maps.begin()), place->offset, place->size};
		}
	}
	return variables;
}

static Resolved plan(bpf_object *object)
{
	Resolved resolved;
	resolved.maps = plan_maps(object);
	resolved.variables = plan_variables(object);
	return resolved;
}

static void apply(bpf_object *object, const Wanted &wanted, const std::string &operation)
{
	auto describe = [&] { return operation; };
	std::vector<bpf_map *> maps = maps_of(object);

	for (size_t i = 0; i < maps.size(); i++) {
		const ByteVector &contents = wanted.contents[i];
		if (!contents.empty())
			check(bpf_map__set_initial_value(maps[i], contents.data(), contents.size()),
			      describe);
		if (wanted.reuse[i])
			check(bpf_map__reuse_fd(maps[i], wanted.reuse[i]->get()), describe);
		else if (wanted.max_entries[i] != bpf_map__max_entries(maps[i]))
			check(bpf_map__set_max_entries(maps[i], wanted.max_entries[i]), describe);
	}
}

// What is being loaded on this thread.
struct Loading {
	bpf_object *object;
	const LoadOptions &options;
	Resolved &resolved;
};
static thread_local Loading *t_loading = nullptr;

struct LoadingScope {
	explicit LoadingScope(Loading &loading)
	{
		t_loading = &loading;
	}
	~LoadingScope()
	{
		t_loading = nullptr;
	}
};

static std::vector<MapUse> uses_of(const std::vector<bpf_insn> &code, bpf_object *object)
{
	std::vector<bpf_map *> maps = maps_of(object);
	std::vector<MapUse> uses;

	for (size_t i = 0; i < code.size(); i++) {
		bool names_map = code[i].code == (BPF_LD | BPF_IMM | BPF_DW) &&
				 (code[i].src_reg == BPF_PSEUDO_MAP_FD ||
				  code[i].src_reg == BPF_PSEUDO_MAP_VALUE);
		for (size_t map = 0; names_map && map < maps.size(); map++)
			if (bpf_map__fd(maps[map]) == code[i].imm)
				uses.push_back({i, map});
	}
	return uses;
}

// Without the lines of the source, which cost a tenth of a load: they are for the verifier's log,
// and libbpf writes that.
static ProgramPlan plan_program(bpf_program *program, const bpf_prog_load_opts &options)
{
	const bpf_insn *code = bpf_program__insns(program);
	ProgramPlan plan;

	plan.name = bpf_program__name(program);
	plan.type = bpf_program__type(program);
	plan.code = {code, code + bpf_program__insn_cnt(program)};
	plan.uses = uses_of(plan.code, t_loading->object);
	plan.options = options;
	plan.options.line_info = nullptr;
	plan.options.line_info_cnt = plan.options.line_info_rec_size = 0;
	auto functions = static_cast<const uint8_t *>(options.func_info);
	plan.functions = {functions,
			  functions + size_t{options.func_info_cnt} * options.func_info_rec_size};
	return plan;
}

// libbpf's last word before it hands a program to the kernel.
static int prepare(bpf_program *program, bpf_prog_load_opts *options, long)
{
	if (!t_loading)
		return 0;
	t_loading->resolved.programs.push_back(plan_program(program, *options));
	if (t_loading->options.immediates.empty())
		return 0;
	std::vector<bpf_insn> code = t_loading->resolved.programs.back().code;
	replace_immediates(code, t_loading->options);
	return bpf_program__set_insns(program, code.data(), code.size());
}

void register_templates()
{
	static std::once_flag once;
	std::call_once(once, [] {
		LIBBPF_OPTS(libbpf_prog_handler_opts, options, .prog_prepare_load_fn = prepare);
		check(libbpf_register_prog_handler("tc", BPF_PROG_TYPE_SCHED_CLS, bpf_attach_type{},
						   &options),
		      [] { return "register a handler with libbpf"; });
	});
}

// Types of maps in whose making libbpf has no part.
static bool is_plain(bpf_map_type type)
{
	switch (type) {
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PROG_ARRAY:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LPM_TRIE:
	case BPF_MAP_TYPE_RINGBUF:
		return true;
	default:
		return false;
	}
}

static bool refers_to_others(const bpf_prog_load_opts &options)
{
	return options.fd_array || options.attach_prog_fd || options.attach_btf_obj_fd ||
	       options.attach_btf_id || options.prog_ifindex;
}

// An array with programs in its declaration is no longer than this.
constexpr uint32_t kDeclaredSlots = 64;

// Which slots libbpf has filled, as it does not tell: those that hold programs of this load.
static std::vector<Slot> slots_of(bpf_object *object)
{
	std::map<uint32_t, size_t> programs; // by id
	std::vector<bpf_map *> maps = maps_of(object);
	std::vector<Slot> slots;
	uint32_t id;

	for (bpf_program *program = nullptr; (program = bpf_object__next_program(object, program));)
		programs.emplace(program_info(duplicate(bpf_program__fd(program))).id,
				 programs.size());
	for (size_t map = 0; map < maps.size(); map++) {
		if (bpf_map__type(maps[map]) != BPF_MAP_TYPE_PROG_ARRAY ||
		    bpf_map__max_entries(maps[map]) > kDeclaredSlots)
			continue;
		for (uint32_t key = 0; key < bpf_map__max_entries(maps[map]); key++)
			if (!bpf_map_lookup_elem(bpf_map__fd(maps[map]), &key, &id) &&
			    programs.count(id))
				slots.push_back({map, key, programs.at(id)});
	}
	return slots;
}

// Adds what is known only after the load. `complete` stays false where libbpf does what is not
// repeated here.
static void finish(Resolved &resolved, bpf_object *object)
{
	std::vector<bpf_map *> maps = maps_of(object);
	size_t programs = 0;

	for (bpf_program *program = nullptr; (program = bpf_object__next_program(object, program));
	     programs++)
		if (programs < resolved.programs.size())
			resolved.programs[programs].license =
				program_info(duplicate(bpf_program__fd(program))).gpl_compatible
					? "GPL"
					: "";
	resolved.types = duplicate(bpf_object__btf_fd(object));
	resolved.slots = slots_of(object);
	for (size_t i = 0; i < maps.size(); i++) {
		bpf_map_create_opts &options = resolved.maps[i].options;
		options.sz = sizeof(options);
		options.btf_key_type_id = bpf_map__btf_key_type_id(maps[i]);
		options.btf_value_type_id = bpf_map__btf_value_type_id(maps[i]);
		options.btf_fd = options.btf_value_type_id ? resolved.types.get() : 0;
		options.map_flags = bpf_map__map_flags(maps[i]);
		options.map_extra = bpf_map__map_extra(maps[i]);
	}
	for (auto &program : resolved.programs) {
		program.options.prog_btf_fd = resolved.types.get();
		program.options.func_info = program.functions.data();
	}
	resolved.complete =
		programs == resolved.programs.size() &&
		std::all_of(resolved.maps.begin(), resolved.maps.end(),
			    [](auto &map) { return is_plain(map.type); }) &&
		std::none_of(resolved.programs.begin(), resolved.programs.end(),
			     [](auto &program) { return refers_to_others(program.options); });
}

static Loaded handles_of(bpf_object *object)
{
	Loaded loaded;
	for (bpf_program *program = nullptr; (program = bpf_object__next_program(object, program));)
		loaded.programs.emplace_back(bpf_program__name(program),
					     duplicate(bpf_program__fd(program)));
	for (bpf_map *map : maps_of(object))
		loaded.maps.emplace_back(short_name(bpf_map__name(map)),
					 duplicate(bpf_map__fd(map)));
	return loaded;
}

Loaded Template::load_by_libbpf(const LoadOptions &options)
{
	std::string operation = "load " + source.label();
	ObjectPointer object = open_object(source, operation);
	auto resolved = std::make_shared<Resolved>(plan(object.get()));
	apply(object.get(), Wanted(*resolved, options, operation), operation);

	Loading loading = {object.get(), options, *resolved};
	LoadingScope scope(loading);
	check(bpf_object__load(object.get()), [&] { return operation; });
	finish(*resolved, object.get());
	if (resolved->complete) {
		std::lock_guard lock(mutex_);
		resolved_ = resolved;
	}
	return handles_of(object.get());
}

/* ---- every further load ---- */

static Fd create_map(const MapPlan &plan, uint32_t max_entries, const ByteVector &contents,
		     const std::string &operation)
{
	auto describe = [&] { return operation; };
	Fd map(check(bpf_map_create(plan.type, plan.name.c_str(), plan.key_size, plan.value_size,
				    max_entries, &plan.options),
		     describe));
	uint32_t zero = 0;

	if (!contents.empty())
		check(bpf_map_update_elem(map.get(), &zero, contents.data(), BPF_ANY), describe);
	if (!contents.empty() && plan.options.map_flags & BPF_F_RDONLY_PROG)
		check(bpf_map_freeze(map.get()), describe);
	return map;
}

static Fd load_program(const ProgramPlan &plan, const Loaded &loaded, const LoadOptions &options,
		       const std::string &operation)
{
	std::vector<bpf_insn> code = plan.code;

	for (auto [instruction, map] : plan.uses)
		code[instruction].imm = loaded.maps[map].second.get();
	replace_immediates(code, options);
	return Fd(check(bpf_prog_load(plan.type, plan.name.c_str(), plan.license.c_str(),
				      code.data(), code.size(), &plan.options),
			[&] { return operation; }));
}

static Loaded load_resolved(const Resolved &resolved, const LoadOptions &options,
			    const std::string &operation)
{
	Wanted wanted(resolved, options, operation);
	Loaded loaded;

	for (size_t i = 0; i < resolved.maps.size(); i++) {
		const MapPlan &map = resolved.maps[i];
		loaded.maps.emplace_back(short_name(map.name),
					 wanted.reuse[i]
						 ? duplicate(wanted.reuse[i]->get())
						 : create_map(map, wanted.max_entries[i],
							      wanted.contents[i], operation));
	}
	for (auto &program : resolved.programs)
		loaded.programs.emplace_back(program.name,
					     load_program(program, loaded, options, operation));
	for (auto [map, key, program] : resolved.slots) {
		int fd = loaded.programs[program].second.get();
		check(bpf_map_update_elem(loaded.maps[map].second.get(), &key, &fd, BPF_ANY),
		      [&] { return operation; });
	}
	return loaded;
}

Template::Template(ElfSource given) : source(std::move(given)) {}

Template::~Template() = default;

std::shared_ptr<const Resolved> Template::resolved()
{
	std::lock_guard lock(mutex_);
	return resolved_;
}

Loaded Template::load(const LoadOptions &options)
{
	if (auto known = resolved()) {
		try {
			return load_resolved(*known, options, "load " + source.label());
		} catch (const Failure &) {
			// libbpf will fail as well, and say why.
		}
	}
	return load_by_libbpf(options);
}
