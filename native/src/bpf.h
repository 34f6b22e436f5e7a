// SPDX-License-Identifier: Apache-2.0
// The exported object `bpf`.
#pragma once

#include <napi.h>

Napi::Object export_bpf(Napi::Env env);
