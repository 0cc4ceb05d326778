// SPDX-License-Identifier: Apache-2.0
//
// A map operator around another one: what it exports it imports, too, and passes
// everything on, buffers of the host included. To be composed with an operator.

#define CONTEXT "wrap/map"
#include "processor.h"

IMPORT("wasm-graph:processor/map@1.1.0", "init")
uint32_t inner_init(const struct setting *settings, uint32_t settings_len, const void *schemas, uint32_t schemas_len);

IMPORT("wasm-graph:processor/map@1.1.0", "process")
void inner_process(const struct data_model *in, struct result *out);

EXPORT("wasm-graph:processor/map@1.1.0#init")
uint32_t init(const struct setting *settings, uint32_t settings_len, const void *schemas, uint32_t schemas_len) {
  LOG(INFO, "wrapped");
  uint32_t ok = inner_init(settings, settings_len, schemas, schemas_len);
  release();
  return ok;
}

EXPORT("wasm-graph:processor/map@1.1.0#process")
struct result *process(struct data_model *in) {
  static struct result out;
  inner_process(in, &out);
  return &out;
}

EXPORT("cabi_post_wasm-graph:processor/map@1.1.0#process")
void process_done(struct result *out) {
  (void)out;
  release();
}
