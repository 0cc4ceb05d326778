// SPDX-License-Identifier: Apache-2.0
//
// The map world of wasm-graph:processor@1.1.0 as a core module sees it: the types
// in the memory layout of the canonical ABI, the functions that the host offers,
// and an arena to put things in. No libc, no generated code.
//
// The arena lives for one call: what the host puts into it before and during a
// call, and what the guest adds, is all freed at once when the call is over.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

// ---- types ----

struct bytes { // list<u8>, string
  uint8_t *ptr;
  uint32_t len;
};

struct text { // buffer-or-bytes, buffer-or-string
  uint8_t tag;
  union {
    uint32_t buffer;
    struct bytes bytes;
  };
};
enum { BUFFER, BYTES };

struct optional_text {
  uint8_t some;
  struct text value;
};

struct timestamp {
  uint64_t secs;
  uint32_t nanos;
  uint64_t counter;
  struct text node_id;
};

struct property {
  struct text key, value;
};

struct schema {
  uint8_t tag;
  union {
    struct text reference;
    struct {
      struct text name, content;
    };
  };
};

struct message {
  struct timestamp timestamp;
  struct text topic;
  struct optional_text content_type;
  struct text payload;
  struct {
    struct property *ptr;
    uint32_t len;
  } user_properties;
  struct {
    uint8_t some;
    struct schema value;
  } schema;
};

struct snapshot {
  struct timestamp timestamp;
  struct text format;
  uint32_t width, height;
  struct text frame;
};

struct data_model {
  uint8_t tag;
  union {
    struct text text;
    struct message message;
    struct snapshot snapshot;
  };
};
enum { BUFFER_OR_BYTES, MESSAGE, SNAPSHOT };

struct result { // result<data-model, error>
  uint8_t tag;
  union {
    struct data_model ok;
    struct bytes error;
  };
};
enum { OK, ERR };

struct setting { // tuple<string, string>
  struct bytes key, value;
};

struct optional_duration {
  uint8_t some;
  uint64_t secs;
  uint32_t nanos;
};

struct optional_clock { // option<hybrid-logical-clock>
  uint8_t some;
  uint64_t secs;
  uint32_t nanos;
  uint64_t counter;
  struct bytes node_id;
};

struct request_error { // state-store-error, metrics-error
  uint8_t tag;
  struct bytes text;
};
enum { REQUEST_ERROR };

struct stored { // result<state-store-get-response, state-store-error>
  uint8_t tag;
  union {
    struct {
      uint8_t some;
      struct bytes value;
      struct optional_clock version;
    };
    struct request_error error;
  };
};

struct set_request { // the parameters of set: too many to be passed one by one
  struct bytes key, value;
  struct optional_duration timeout;
  struct optional_clock fencing_token;
  uint8_t conditions;
  struct optional_duration expires;
};
enum { ONLY_IF_DOES_NOT_EXIST, ONLY_IF_EQUAL_OR_DOES_NOT_EXIST, UNCONDITIONAL };

struct set_response { // result<state-store-set-response, state-store-error>
  uint8_t tag;
  union {
    struct {
      uint8_t done;
      struct optional_clock version;
    };
    struct request_error error;
  };
};

struct label {
  struct bytes key, value;
};

struct metrics_result { // result<_, metrics-error>
  uint8_t tag;
  struct request_error error;
};

_Static_assert(sizeof(struct message) == 120, "message");
_Static_assert(sizeof(struct data_model) == 128, "data-model");
_Static_assert(sizeof(struct result) == 136, "result");
_Static_assert(sizeof(struct stored) == 64, "stored");
_Static_assert(sizeof(struct set_request) == 112, "set_request");
_Static_assert(sizeof(struct set_response) == 56, "set_response");
_Static_assert(sizeof(struct metrics_result) == 16, "metrics_result");

// ---- what the host offers ----

enum { TRACE, DEBUG, INFO, WARN, ERROR, CRITICAL };

IMPORT("wasm-graph:processor/logger@1.1.0", "log")
void host_log(uint32_t level, const void *context, uint32_t context_len, const void *message, uint32_t message_len);

IMPORT("wasm-graph:processor/types@1.1.0", "[method]buffer.read")
void buffer_read(uint32_t buffer, struct bytes *out);

IMPORT("wasm-graph:processor/types@1.1.0", "[resource-drop]buffer")
void buffer_drop(uint32_t buffer);

IMPORT("wasm-graph:processor/state-store@1.1.0", "get")
void store_get(const void *key, uint32_t key_len, uint32_t timeout_some, uint64_t timeout_secs, uint32_t timeout_nanos, struct stored *out);

IMPORT("wasm-graph:processor/state-store@1.1.0", "set")
void store_set(const struct set_request *request, struct set_response *out);

// value_case is 0, u64; so value is the number itself.
IMPORT("wasm-graph:processor/metrics@1.1.0", "add-to-counter")
void add_to_counter(const char *name, uint32_t name_len, uint32_t value_case, uint64_t value, uint32_t labels_some, const struct label *labels,
                    uint32_t labels_len, struct metrics_result *out);

// LOG logs a string literal.
#define LOG(level, message) host_log(level, CONTEXT, sizeof(CONTEXT) - 1, message, sizeof(message) - 1)

// ---- the arena ----

extern uint8_t __heap_base;

static struct {
  size_t end; // of what is in use; 0 is none
} arena;

// allocate returns len bytes, or traps where the memory cannot grow that far.
static void *allocate(uint32_t align, uint32_t len) {
  size_t start = arena.end ? arena.end : (size_t)&__heap_base;
  start = (start + align - 1) & ~(size_t)(align - 1);
  size_t have = __builtin_wasm_memory_size(0) << 16;
  if (len > SIZE_MAX - 0xffff - start) __builtin_trap();
  if (start + len > have && __builtin_wasm_memory_grow(0, (start + len - have + 0xffff) >> 16) == SIZE_MAX) __builtin_trap();
  arena.end = start + len;
  return (void *)start;
}

// release frees everything.
static void release(void) { arena.end = 0; }

EXPORT("cabi_realloc")
void *cabi_realloc(const void *old, uint32_t old_len, uint32_t align, uint32_t len) {
  void *p = allocate(align, len);
  __builtin_memcpy(p, old, old_len < len ? old_len : len);
  return p;
}

// read returns the bytes of t, with which t then goes on: the host's buffer, where
// it was one, is read and dropped.
[[maybe_unused]] static struct bytes read(struct text *t) {
  if (t->tag == BUFFER) {
    uint32_t buffer = t->buffer;
    buffer_read(buffer, &t->bytes);
    buffer_drop(buffer);
    t->tag = BYTES;
  }
  return t->bytes;
}

// fail returns an error with a string literal.
#define FAIL(result, text) ((result)->tag = ERR, (result)->error = (struct bytes){(uint8_t *)(text), sizeof(text) - 1}, (result))
