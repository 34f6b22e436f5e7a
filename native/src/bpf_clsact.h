// SPDX-License-Identifier: Apache-2.0
// Attachment by the clsact qdisc, for kernels without tcx.
#pragma once

#include <napi.h>

bool attach_clsact(const Napi::CallbackInfo &info);
bool detach_clsact(const Napi::CallbackInfo &info);
Napi::Value query_clsact(const Napi::CallbackInfo &info);
bool delete_clsact(const Napi::CallbackInfo &info);
