// SPDX-License-Identifier: Apache-2.0
//
// A map operator that turns ASCII letters in a message's payload into upper case.
// Everything else of the message goes back as it came, buffers of the host
// included; what is no message is refused.

#define CONTEXT "uppercase/map"
#include "processor.h"

EXPORT("wasm-graph:processor/map@1.1.0#init")
uint32_t init(const struct setting *settings, uint32_t settings_len, const void *schemas, uint32_t schemas_len) {
  (void)settings, (void)settings_len, (void)schemas, (void)schemas_len;
  LOG(INFO, "initialized");
  release();
  return 1;
}

EXPORT("wasm-graph:processor/map@1.1.0#process")
struct result *process(struct data_model *in) {
  static struct result out;
  if (in->tag != MESSAGE) return FAIL(&out, "Unexpected input type.");
  struct bytes payload = read(&in->message.payload);
  for (uint32_t i = 0; i < payload.len; i++)
    if (payload.ptr[i] >= 'a' && payload.ptr[i] <= 'z') payload.ptr[i] -= 'a' - 'A';
  out.tag = OK;
  out.ok = *in;
  return &out;
}

EXPORT("cabi_post_wasm-graph:processor/map@1.1.0#process")
void process_done(struct result *out) {
  (void)out;
  release();
}
