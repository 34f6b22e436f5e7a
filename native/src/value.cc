// SPDX-License-Identifier: Apache-2.0
// Readers of JavaScript values.
#include "value.h"

#include "failure.h"

#include <cmath>

[[noreturn]] static void refuse(const char *name, const char *expected)
{
	throw Failure(EINVAL, "read argument " + quoted(name),
		      std::string("it is not ") + expected);
}

std::string to_text(Napi::Value value, const char *name)
{
	if (!value.IsString())
		refuse(name, "a string");

	std::string text = value.As<Napi::String>();
	if (text.find('\0') != text.npos)
		refuse(name, "free of NUL characters");
	return text;
}

uint32_t to_number(Napi::Value value, const char *name)
{
	if (!value.IsNumber())
		refuse(name, "a number");

	double number = value.As<Napi::Number>().DoubleValue();
	if (!(number >= 0 && number <= UINT32_MAX && number == std::floor(number)))
		refuse(name, "an unsigned 32-bit integer");
	return static_cast<uint32_t>(number);
}

bool to_flag(Napi::Value value, const char *name)
{
	if (!value.IsBoolean())
		refuse(name, "a boolean");
	return value.As<Napi::Boolean>();
}

Bytes to_bytes(Napi::Value value, const char *name)
{
	if (!value.IsTypedArray() ||
	    value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
		refuse(name, "a Uint8Array");

	auto array = value.As<Napi::Uint8Array>();
	return {array.Data(), array.ByteLength()};
}

Napi::Object to_object(Napi::Value value, const char *name)
{
	if (!value.IsObject())
		refuse(name, "an object");
	return value.As<Napi::Object>();
}

Napi::Function to_function(Napi::Value value, const char *name)
{
	if (!value.IsFunction())
		refuse(name, "a function");
	return value.As<Napi::Function>();
}

template <typename T>
static std::optional<T> option(Napi::Object options, const char *name,
			       T (*read)(Napi::Value, const char *))
{
	Napi::Value value = options.Get(name);
	if (value.IsUndefined())
		return std::nullopt;
	return read(value, name);
}

std::optional<std::string> text_option(Napi::Object options, const char *name)
{
	return option(options, name, to_text);
}

std::optional<uint32_t> number_option(Napi::Object options, const char *name)
{
	return option(options, name, to_number);
}

std::optional<bool> flag_option(Napi::Object options, const char *name)
{
	return option(options, name, to_flag);
}
