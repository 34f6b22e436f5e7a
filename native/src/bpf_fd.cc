// SPDX-License-Identifier: Apache-2.0
// Pins, ids and info of BPF descriptors.
#include "bpf_fd.h"

#include "failure.h"

#include <bpf/bpf.h>

#include <climits>

static const char *name_of(BpfKind kind)
{
	switch (kind) {
	case BpfKind::map:
		return "map";
	case BpfKind::program:
		return "program";
	default:
		return "link";
	}
}

// The kernel names the anonymous inode of a BPF descriptor bpf-map, bpf-prog or bpf_link.
static bool is_a(const Fd &fd, BpfKind kind)
{
	char target[PATH_MAX] = {};
	std::string self = "/proc/self/fd/" + std::to_string(fd.get());
	if (readlink(self.c_str(), target, sizeof(target) - 1) < 0)
		return false;

	std::string name = target;
	switch (kind) {
	case BpfKind::map:
		return name == "anon_inode:bpf-map";
	case BpfKind::program:
		return name == "anon_inode:bpf-prog";
	default:
		return name == "anon_inode:bpf_link" || name == "anon_inode:bpf-link";
	}
}

Fd open_pinned(const std::string &path, BpfKind kind)
{
	auto operation = [&] { return std::string("open pinned ") + name_of(kind) + " " + path; };

	Fd fd(check(bpf_obj_get(path.c_str()), operation));
	if (!is_a(fd, kind))
		throw Failure(EINVAL, operation(), "another kind of object is pinned there");
	return fd;
}

Fd open_by_id(uint32_t id, BpfKind kind)
{
	auto get = kind == BpfKind::map	      ? bpf_map_get_fd_by_id
		   : kind == BpfKind::program ? bpf_prog_get_fd_by_id
					      : bpf_link_get_fd_by_id;
	return Fd(check(get(id), [&] {
		return std::string("open ") + name_of(kind) + " " + std::to_string(id);
	}));
}

void pin(const Fd &fd, const std::string &path, const std::string &label)
{
	int result = bpf_obj_pin(fd.get(), path.c_str());
	if (result == 0)
		return;

	const char *reason = result == -EEXIST	 ? "the path is taken"
			     : result == -ENOENT ? "no such directory"
			     : result == -EPERM	 ? "not a bpffs, or not permitted"
						 : "";
	throw Failure(-result, "pin " + label + " at " + path, reason);
}

template <typename Info> static Info info_of(const Fd &fd, const char *what)
{
	Info info = {};
	__u32 size = sizeof(info);
	check(bpf_obj_get_info_by_fd(fd.get(), &info, &size),
	      [&] { return std::string("read info of ") + what; });
	return info;
}

bpf_map_info map_info(const Fd &fd)
{
	return info_of<bpf_map_info>(fd, "map");
}
bpf_prog_info program_info(const Fd &fd)
{
	return info_of<bpf_prog_info>(fd, "program");
}
bpf_link_info link_info(const Fd &fd)
{
	return info_of<bpf_link_info>(fd, "link");
}

std::vector<uint8_t> read_btf(uint32_t id)
{
	auto operation = [] { return "read the types of a map"; };
	Fd fd(check(bpf_btf_get_fd_by_id(id), operation));
	std::vector<uint8_t> bytes(info_of<bpf_btf_info>(fd, "types").btf_size);
	bpf_btf_info info = {};
	__u32 size = sizeof(info);

	info.btf = reinterpret_cast<uintptr_t>(bytes.data());
	info.btf_size = bytes.size();
	check(bpf_obj_get_info_by_fd(fd.get(), &info, &size), operation);
	return bytes;
}
