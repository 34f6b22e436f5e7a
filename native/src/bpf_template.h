// SPDX-License-Identifier: Apache-2.0
// An ELF that is loaded again and again: libbpf resolves it against this kernel once.
#pragma once

#include "failure.h"
#include "fd.h"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

using ByteVector = std::vector<uint8_t>;

// What may differ from one load to the next.
struct LoadOptions {
	std::vector<std::pair<std::string, ByteVector>> variables;
	std::vector<std::pair<std::string, Fd>> reuse;
	std::vector<std::pair<std::string, uint32_t>> max_entries;
	std::map<int32_t, int32_t> immediates;
};

struct Loaded {
	std::vector<std::pair<std::string, Fd>> programs, maps;
};

struct ElfSource {
	std::string path; // or, when empty, `image`
	ByteVector image;
	std::string name;

	std::string label() const
	{
		return path.empty() ? "object " + quoted(name) : path;
	}
};

// All that libbpf found out: what is left to be done for a load are the kernel's own calls.
struct Resolved;

class Template
{
public:
	explicit Template(ElfSource source);
	~Template();

	const ElfSource source;

	// Of any thread, several at once. Throws Failure.
	Loaded load(const LoadOptions &options);

private:
	Loaded load_by_libbpf(const LoadOptions &options);
	std::shared_ptr<const Resolved> resolved();

	std::mutex mutex_;
	std::shared_ptr<const Resolved> resolved_;
};

// Once, before the first load: libbpf lets nobody but a handler of a section see what it is about
// to load.
void register_templates();
