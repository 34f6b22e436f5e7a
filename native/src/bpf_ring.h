// SPDX-License-Identifier: Apache-2.0
// bpf.ringBuffer
#pragma once

#include <napi.h>

// bpf.ringBuffer(map, onRecord): a Watch.
Napi::Value watch_ring_buffer(const Napi::CallbackInfo &info);
