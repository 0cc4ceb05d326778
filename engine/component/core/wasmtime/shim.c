// SPDX-License-Identifier: Apache-2.0

//go:build wasmtime && cgo && (linux || darwin)

#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "_cgo_export.h"
#include "shim.h"

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

// Out of memory: as in Go, the process ends.
static void *must(void *p) {
  if (p == NULL) abort();
  return p;
}

// Memories.
//
// We allocate them ourselves, since the library would tell neither that a guest
// wanted more than its limit nor, without a call, how large a memory is. A memory
// is a range of address space as long as it may ever get, of which what is in use
// is accessible: the compiled code counts on the rest, and a guard behind it, to
// fault.

// max_memory is one page less than WebAssembly allows, so that the size of a memory
// fits into 32 bits.
static const size_t max_memory = (size_t)65535 << 16;

// creating is the store that an instantiation on this thread is for.
static __thread graphd_store *creating;

static uint8_t *memory_get(void *env, size_t *size, size_t *capacity) {
  graphd_memory *m = env;
  *size = m->size;
  *capacity = m->capacity;
  return m->base;
}

static wasmtime_error_t *memory_grow(void *env, size_t size) {
  graphd_memory *m = env;
  if (size > m->size) {
    if (size > max_memory || size > m->capacity || (m->store != NULL && size - m->size > m->store->left)) {
      m->refusals++;
      return wasmtime_error_new("memory limit exceeded");
    }
    if (mprotect(m->base + m->size, size - m->size, PROT_READ | PROT_WRITE) != 0)
      return wasmtime_error_new("out of memory");
    if (m->store != NULL) m->store->left -= size - m->size;
    m->size = size;
  }
  return NULL;
}

static void memory_free(void *env) {
  graphd_memory *m = env;
  if (m->store != NULL) {
    graphd_memory **p = &m->store->memories;
    while (*p != m) p = &(*p)->next;
    *p = m->next;
  }
  munmap(m->base, m->mapped);
  free(m);
}

static wasmtime_error_t *memory_new(void *env, const wasm_memorytype_t *type, size_t minimum, size_t maximum,
                                    size_t reserved, size_t guard, wasmtime_linear_memory_t *out) {
  (void)env, (void)type, (void)maximum;
  graphd_store *s = creating;
  graphd_memory *m = must(calloc(1, sizeof *m));
  m->capacity = reserved > minimum ? reserved : minimum;
  m->mapped = m->capacity + guard;
  m->base = mmap(NULL, m->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
  if (m->base == MAP_FAILED) {
    free(m);
    return wasmtime_error_new("out of address space");
  }
  if (s != NULL) {
    m->store = s;
    m->next = s->memories;
    s->memories = m;
  }
  wasmtime_error_t *error = memory_grow(m, minimum);
  if (error != NULL) {
    memory_free(m);
    return error;
  }
  *out = (wasmtime_linear_memory_t){m, memory_get, memory_grow, memory_free};
  return NULL;
}

graphd_memory *graphd_memory_find(graphd_store *s, const wasmtime_memory_t *memory) {
  uint8_t *base = wasmtime_memory_data(s->context, memory);
  graphd_memory *m = s->memories;
  while (m != NULL && m->base != base) m = m->next;
  return m;
}

// Engines and stores.

size_t graphd_thread_stack(void) {
  size_t size = 0;
#ifdef __linux__
  pthread_attr_t attr;
  if (pthread_attr_init(&attr) == 0) {
    pthread_attr_getstacksize(&attr, &size);
    pthread_attr_destroy(&attr);
  }
#endif
  return size;
}

wasm_engine_t *graphd_engine_new(size_t stack) {
  wasm_config_t *c = must(wasm_config_new());
  wasmtime_config_max_wasm_stack_set(c, stack);
  // The features of every engine of ours: WebAssembly 2.0, tail calls and extended
  // constant expressions.
  wasmtime_config_wasm_tail_call_set(c, true);
  wasmtime_config_wasm_threads_set(c, false);
  wasmtime_config_wasm_gc_set(c, false);
  wasmtime_config_wasm_multi_memory_set(c, false);
  wasmtime_config_wasm_memory64_set(c, false);
  wasmtime_config_wasm_relaxed_simd_set(c, false);
  wasmtime_config_wasm_component_model_set(c, false);
  wasmtime_config_memory_may_move_set(c, false);
  wasmtime_config_memory_init_cow_set(c, false); // impossible in memories of our own
  wasmtime_config_native_unwind_info_set(c, false);
  wasmtime_memory_creator_t creator = {NULL, memory_new, NULL};
  wasmtime_config_host_memory_creator_set(c, &creator);
  return wasm_engine_new_with_config(c);
}

graphd_store *graphd_store_new(wasm_engine_t *engine, uintptr_t handle, size_t memory) {
  graphd_store *s = must(calloc(1, sizeof *s));
  s->store = must(wasmtime_store_new(engine, NULL, NULL));
  s->context = wasmtime_store_context(s->store);
  s->handle = handle;
  s->left = memory;
  return s;
}

void graphd_store_delete(graphd_store *s) {
  wasmtime_store_delete(s->store);
  free(s);
}

graphd_outcome graphd_instantiate(graphd_store *s, const wasmtime_module_t *module, const wasmtime_extern_t *imports,
                                  size_t count, wasmtime_instance_t *instance) {
  graphd_outcome out = {NULL, NULL};
  graphd_store *outer = creating; // a host function may instantiate
  creating = s;
  out.error = wasmtime_instance_new(s->context, module, imports, count, instance, &out.trap);
  creating = outer;
  return out;
}

// Calls. Wasmtime keeps a value in 16 bytes, we keep one in 8, the upper half of a
// 32-bit one zero.

static bool bit(const uint64_t *bits, size_t n) { return bits[n / 64] >> n % 64 & 1; }

static uint64_t slot(const wasmtime_val_raw_t *value, bool narrow) {
  return narrow ? (uint64_t)(uint32_t)value->i32 : (uint64_t)value->i64;
}

// narrow returns the bits for a list of types.
static uint64_t *narrow(const wasm_valtype_vec_t *types) {
  uint64_t *bits = must(calloc(types->size / 64 + 1, sizeof *bits));
  for (size_t i = 0; i < types->size; i++) {
    uint8_t kind = wasm_valtype_kind(types->data[i]);
    if (kind == WASM_I32 || kind == WASM_F32) bits[i / 64] |= (uint64_t)1 << i % 64;
  }
  return bits;
}

graphd_func *graphd_func_new(graphd_store *s, const wasmtime_func_t *func, const wasm_functype_t *type) {
  graphd_func *f = must(calloc(1, sizeof *f));
  f->context = s->context;
  f->func = *func;
  f->params = wasm_functype_params(type)->size;
  f->results = wasm_functype_results(type)->size;
  f->narrow = narrow(wasm_functype_results(type));
  return f;
}

void graphd_func_delete(graphd_func *f) {
  free(f->narrow);
  free(f);
}

graphd_outcome graphd_call(const graphd_func *f, uint64_t *stack) {
  graphd_outcome out = {NULL, NULL};
  size_t count = f->params > f->results ? f->params : f->results; // 1,000 at most
  wasmtime_val_raw_t values[count + 1];
  for (size_t i = 0; i < f->params; i++) values[i].i64 = (int64_t)stack[i];
  out.error = wasmtime_func_call_unchecked(f->context, &f->func, values, count, &out.trap);
  if (out.error == NULL && out.trap == NULL)
    for (size_t i = 0; i < f->results; i++) stack[i] = slot(&values[i], bit(f->narrow, i));
  return out;
}

// host_func is a host function in a store.
typedef struct host_func {
  graphd_store *store;
  uint32_t index; // in the Go store's list
  uint32_t params, results;
  uint64_t *narrow; // a bit for each parameter that has 32 bits
} host_func;

static wasm_trap_t *host_call(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *values, size_t count) {
  (void)caller;
  const host_func *f = env;
  uint64_t stack[count + 1];
  for (size_t i = 0; i < f->params; i++) stack[i] = slot(&values[i], bit(f->narrow, i));
  for (size_t i = f->params; i < count; i++) stack[i] = 0;
  if (graphdCallHost(f->store->handle, f->index, stack, count)) return wasmtime_trap_new("host", 4);
  for (size_t i = 0; i < f->results; i++) values[i].i64 = (int64_t)stack[i];
  return NULL;
}

static void host_func_free(void *env) {
  host_func *f = env;
  free(f->narrow);
  free(f);
}

void graphd_host_func_new(graphd_store *s, const wasm_functype_t *type, uint32_t index, wasmtime_extern_t *out) {
  host_func *f = must(calloc(1, sizeof *f));
  f->store = s;
  f->index = index;
  f->params = wasm_functype_params(type)->size;
  f->results = wasm_functype_results(type)->size;
  f->narrow = narrow(wasm_functype_params(type));
  out->kind = WASMTIME_EXTERN_FUNC;
  wasmtime_func_new_unchecked(s->context, type, host_call, f, host_func_free, &out->of.func);
}
