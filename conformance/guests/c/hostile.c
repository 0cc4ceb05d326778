// SPDX-License-Identifier: Apache-2.0
//
// A map operator that misbehaves as the topic of a message tells it to, and passes
// on what has any other topic. A setting "init" makes it refuse to start, or worse.

#define CONTEXT "hostile/map"
#include "processor.h"

static int is(struct bytes b, const char *word) {
  uint32_t i = 0;
  for (; i < b.len && word[i]; i++)
    if (b.ptr[i] != word[i]) return 0;
  return i == b.len && !word[i];
}

static void loop(void) {
  for (;;) __asm__ volatile("");
}

static uint32_t recurse(uint32_t depth) {
  uint32_t deeper = recurse(depth + 1);
  __asm__ volatile(""); // not a tail call
  return deeper + depth;
}

// indirect is unknown to the compiler, so that calls of it go through the table.
static uint32_t recurse_indirectly(uint32_t depth);
static uint32_t (*volatile indirect)(uint32_t) = recurse_indirectly;
static uint32_t recurse_indirectly(uint32_t depth) {
  uint32_t deeper = indirect(depth + 1);
  __asm__ volatile("");
  return deeper + depth;
}

// grow takes as much memory as it is given.
static void grow(void) {
  for (size_t pages = 1 << 15; pages; pages /= 2)
    while (__builtin_wasm_memory_grow(0, pages) != SIZE_MAX) {}
}

// What the next call of cabi_post does.
static enum { POST_NOTHING, POST_TRAP, POST_LOG } post;

EXPORT("wasm-graph:processor/map@1.1.0#init")
uint32_t init(const struct setting *settings, uint32_t settings_len, const void *schemas, uint32_t schemas_len) {
  (void)schemas, (void)schemas_len;
  uint32_t answer = 1;
  for (uint32_t i = 0; i < settings_len; i++) {
    if (!is(settings[i].key, "init")) continue;
    struct bytes what = settings[i].value;
    if (is(what, "refuse")) answer = 0;
    if (is(what, "trap")) __builtin_trap();
    if (is(what, "loop")) loop();
    if (is(what, "bool")) answer = 2; // which is true, says the ABI
  }
  release();
  return answer;
}

EXPORT("wasm-graph:processor/map@1.1.0#process")
struct result *process(struct data_model *in) {
  static struct result out;
  if (in->tag != MESSAGE) return FAIL(&out, "Unexpected input type.");
  out.tag = OK;
  out.ok = *in;
  struct message *m = &out.ok.message;
  struct bytes topic = read(&m->topic);

  // It fails, as operators may.
  if (is(topic, "error")) return FAIL(&out, "told to fail");
  if (is(topic, "trap")) __builtin_trap();

  // It never ends.
  if (is(topic, "loop")) loop();
  if (is(topic, "recursion")) out.tag = recurse(0);
  if (is(topic, "indirect-recursion")) out.tag = indirect(0);
  if (is(topic, "log-loop"))
    for (;;) LOG(INFO, "again");

  // It takes what it can get.
  if (is(topic, "memory")) {
    grow();
    return FAIL(&out, "no more memory");
  }
  if (is(topic, "memory-fill")) {
    grow();
    size_t start = arena.end, end = __builtin_wasm_memory_size(0) << 16;
    for (;;) __builtin_memset((void *)start, 0xa5, end - start);
  }
  if (is(topic, "flood"))
    for (int i = 0; i < 100000; i++) LOG(ERROR, "flood");
  if (is(topic, "payload")) m->payload = (struct text){BYTES, .bytes = {0, __builtin_wasm_memory_size(0) << 16}};

  // Its result is none.
  if (is(topic, "result-pointer")) return (struct result *)0xfffffff0;
  if (is(topic, "result-alignment")) return (struct result *)((size_t)&out + 1);
  if (is(topic, "result-case")) out.tag = 2;
  if (is(topic, "case")) out.ok.tag = 3;
  if (is(topic, "option-case")) m->content_type.some = 2;
  if (is(topic, "pointer")) m->payload = (struct text){BYTES, .bytes = {(uint8_t *)0xfffffff0, 100}};
  if (is(topic, "length")) m->payload = (struct text){BYTES, .bytes = {topic.ptr, UINT32_MAX}};
  if (is(topic, "list-length")) m->user_properties.len = UINT32_MAX / sizeof(struct property) + 2;
  if (is(topic, "list-alignment")) m->user_properties.ptr = (struct property *)1, m->user_properties.len = 1;
  if (is(topic, "utf8")) return FAIL(&out, "\xff\xfe is no text");
  if (is(topic, "surrogate")) return FAIL(&out, "\xed\xa0\x80");

  // Its handles are none, or no longer its own.
  if (is(topic, "handle")) m->payload = (struct text){BUFFER, .buffer = 12345};
  if (is(topic, "handle-zero")) m->payload = (struct text){BUFFER, .buffer = 0};
  if (m->payload.tag == BUFFER) {
    if (is(topic, "handle-twice")) m->content_type = (struct optional_text){1, m->payload};
    if (is(topic, "handle-dropped")) buffer_drop(m->payload.buffer);
    if (is(topic, "handle-dropped-twice")) buffer_drop(m->payload.buffer), buffer_drop(m->payload.buffer);
    if (is(topic, "handle-kept")) m->payload = (struct text){BYTES, .bytes = {0, 0}};
  }

  // What it tells the host is nonsense.
  if (is(topic, "log-pointer")) host_log(INFO, 0, 0, (void *)0xfffffff0, 100);
  if (is(topic, "log-length")) host_log(INFO, 0, 0, 0, UINT32_MAX);
  if (is(topic, "log-level")) host_log(CRITICAL + 1, 0, 0, 0, 0);
  if (is(topic, "log-utf8")) host_log(INFO, "\xc0\x80", 2, 0, 0);
  if (is(topic, "read-pointer")) buffer_read(m->payload.buffer, (struct bytes *)0xfffffff0);

  // It does not even go quietly.
  if (is(topic, "post-trap")) post = POST_TRAP;
  if (is(topic, "post-log")) post = POST_LOG; // the ABI forbids calls of the host
  return &out;
}

EXPORT("cabi_post_wasm-graph:processor/map@1.1.0#process")
void process_done(struct result *out) {
  (void)out;
  if (post == POST_TRAP) __builtin_trap();
  if (post == POST_LOG) LOG(INFO, "too late");
  release();
}
