// SPDX-License-Identifier: Apache-2.0
// Reading JavaScript values: each reader throws EINVAL naming the argument when the value has
// another type.
#pragma once

#include <napi.h>

#include <cstdint>
#include <optional>
#include <string>

// Borrowed from a Uint8Array: valid until control returns to JavaScript.
struct Bytes {
	const uint8_t *data;
	size_t size;
};

std::string to_text(Napi::Value value, const char *name);
uint32_t to_number(Napi::Value value, const char *name);
bool to_flag(Napi::Value value, const char *name);
Bytes to_bytes(Napi::Value value, const char *name);
Napi::Object to_object(Napi::Value value, const char *name);
Napi::Function to_function(Napi::Value value, const char *name);

// A property of an options object; nothing when it is absent or undefined.
std::optional<std::string> text_option(Napi::Object options, const char *name);
std::optional<uint32_t> number_option(Napi::Object options, const char *name);
std::optional<bool> flag_option(Napi::Object options, const char *name);

inline Napi::Value to_buffer(Napi::Env env, const void *data, size_t size)
{
	return Napi::Buffer<uint8_t>::Copy(env, static_cast<const uint8_t *>(data), size);
}
