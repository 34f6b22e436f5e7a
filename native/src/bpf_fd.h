// SPDX-License-Identifier: Apache-2.0
// What maps, programs and links have in common: descriptors that are pinned, opened by path or id,
// and described.
#pragma once

#include "fd.h"

#include <linux/bpf.h>

#include <cstdint>
#include <string>
#include <vector>

// Which kind of BPF object a descriptor must be; a pin does not tell.
enum class BpfKind { map, program, link };

Fd open_pinned(const std::string &path, BpfKind kind);
Fd open_by_id(uint32_t id, BpfKind kind);

// `label` is the object in the error's sentence: map "sessions".
void pin(const Fd &fd, const std::string &path, const std::string &label);

bpf_map_info map_info(const Fd &fd);
// Without the arrays that the kernel would fill on request.
bpf_prog_info program_info(const Fd &fd);
bpf_link_info link_info(const Fd &fd);
// The types that a map was made with, as the section .BTF of an object has them.
std::vector<uint8_t> read_btf(uint32_t id);
