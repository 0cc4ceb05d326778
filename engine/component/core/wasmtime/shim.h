// SPDX-License-Identifier: Apache-2.0

#ifndef GRAPHD_WASMTIME_SHIM_H
#define GRAPHD_WASMTIME_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What we use of the C interface of Wasmtime 39, declared here so that a build
// needs no include path into another module. layout_test.go compares the structs
// with the library's own headers.

typedef struct wasm_config_t wasm_config_t;
typedef struct wasm_engine_t wasm_engine_t;
typedef struct wasm_functype_t wasm_functype_t;
typedef struct wasm_valtype_t wasm_valtype_t;
typedef struct wasm_importtype_t wasm_importtype_t;
typedef struct wasm_memorytype_t wasm_memorytype_t;
typedef struct wasm_trap_t wasm_trap_t;
typedef struct wasm_frame_t wasm_frame_t;
typedef struct wasmtime_error wasmtime_error_t;
typedef struct wasmtime_module wasmtime_module_t;
typedef struct wasmtime_store wasmtime_store_t;
typedef struct wasmtime_context wasmtime_context_t;
typedef struct wasmtime_caller wasmtime_caller_t;

typedef struct wasm_byte_vec_t {
  size_t size;
  char *data;
} wasm_byte_vec_t;

typedef struct wasm_valtype_vec_t {
  size_t size;
  wasm_valtype_t **data;
} wasm_valtype_vec_t;

typedef struct wasm_importtype_vec_t {
  size_t size;
  wasm_importtype_t **data;
} wasm_importtype_vec_t;

typedef struct wasm_frame_vec_t {
  size_t size;
  wasm_frame_t **data;
} wasm_frame_vec_t;

// Kinds of value types. 32-bit integers and floats are even.
enum { WASM_I32, WASM_I64, WASM_F32, WASM_F64, WASM_V128, WASM_EXTERNREF = 128, WASM_FUNCREF };

typedef struct wasmtime_func {
  uint64_t store_id;
  void *private1;
} wasmtime_func_t;

typedef struct wasmtime_memory {
  struct {
    uint64_t store_id;
    uint32_t private1;
  };
  uint32_t private2;
} wasmtime_memory_t;

typedef struct wasmtime_global {
  uint64_t store_id;
  uint32_t private1;
  uint32_t private2;
  uint32_t private3;
} wasmtime_global_t;

typedef struct wasmtime_instance {
  uint64_t store_id;
  size_t private1;
} wasmtime_instance_t;

enum { WASMTIME_EXTERN_FUNC = 0, WASMTIME_EXTERN_MEMORY = 3 };

typedef struct wasmtime_extern {
  uint8_t kind;
  union {
    wasmtime_func_t func;
    wasmtime_global_t global; // the largest
    wasmtime_memory_t memory;
  } of;
} wasmtime_extern_t;

typedef union wasmtime_val_raw {
  int32_t i32;
  int64_t i64;
  uint8_t v128[16]; // the largest
} wasmtime_val_raw_t;

enum {
  WASMTIME_TRAP_CODE_STACK_OVERFLOW,
  WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS,
  WASMTIME_TRAP_CODE_HEAP_MISALIGNED,
  WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS,
  WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL,
  WASMTIME_TRAP_CODE_BAD_SIGNATURE,
  WASMTIME_TRAP_CODE_INTEGER_OVERFLOW,
  WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO,
  WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER,
  WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED,
};

typedef struct wasmtime_linear_memory {
  void *env;
  uint8_t *(*get_memory)(void *env, size_t *byte_size, size_t *byte_capacity);
  wasmtime_error_t *(*grow_memory)(void *env, size_t new_size);
  void (*finalizer)(void *env);
} wasmtime_linear_memory_t;

typedef struct wasmtime_memory_creator {
  void *env;
  wasmtime_error_t *(*new_memory)(void *env, const wasm_memorytype_t *type, size_t minimum, size_t maximum,
                                  size_t reserved, size_t guard, wasmtime_linear_memory_t *memory);
  void (*finalizer)(void *env);
} wasmtime_memory_creator_t;

typedef wasm_trap_t *(*wasmtime_func_unchecked_callback_t)(void *env, wasmtime_caller_t *caller,
                                                           wasmtime_val_raw_t *values, size_t count);

wasm_config_t *wasm_config_new(void);
void wasmtime_config_max_wasm_stack_set(wasm_config_t *, size_t);
void wasmtime_config_memory_init_cow_set(wasm_config_t *, bool);
void wasmtime_config_memory_may_move_set(wasm_config_t *, bool);
void wasmtime_config_native_unwind_info_set(wasm_config_t *, bool);
void wasmtime_config_wasm_component_model_set(wasm_config_t *, bool);
void wasmtime_config_wasm_gc_set(wasm_config_t *, bool);
void wasmtime_config_wasm_memory64_set(wasm_config_t *, bool);
void wasmtime_config_wasm_multi_memory_set(wasm_config_t *, bool);
void wasmtime_config_wasm_relaxed_simd_set(wasm_config_t *, bool);
void wasmtime_config_wasm_tail_call_set(wasm_config_t *, bool);
void wasmtime_config_wasm_threads_set(wasm_config_t *, bool);
void wasmtime_config_host_memory_creator_set(wasm_config_t *, wasmtime_memory_creator_t *);

wasm_engine_t *wasm_engine_new_with_config(wasm_config_t *);
void wasm_engine_delete(wasm_engine_t *);

wasmtime_error_t *wasmtime_module_new(wasm_engine_t *, const uint8_t *wasm, size_t size, wasmtime_module_t **);
wasmtime_error_t *wasmtime_module_serialize(wasmtime_module_t *, wasm_byte_vec_t *);
wasmtime_error_t *wasmtime_module_deserialize(wasm_engine_t *, const uint8_t *code, size_t size, wasmtime_module_t **);
void wasmtime_module_imports(const wasmtime_module_t *, wasm_importtype_vec_t *);
void wasmtime_module_delete(wasmtime_module_t *);
const wasm_byte_vec_t *wasm_importtype_module(const wasm_importtype_t *);
const wasm_byte_vec_t *wasm_importtype_name(const wasm_importtype_t *);
void wasm_importtype_vec_delete(wasm_importtype_vec_t *);

wasm_valtype_t *wasm_valtype_new(uint8_t kind);
uint8_t wasm_valtype_kind(const wasm_valtype_t *);
void wasm_valtype_vec_new_uninitialized(wasm_valtype_vec_t *, size_t);
wasm_functype_t *wasm_functype_new(wasm_valtype_vec_t *params, wasm_valtype_vec_t *results);
const wasm_valtype_vec_t *wasm_functype_params(const wasm_functype_t *);
const wasm_valtype_vec_t *wasm_functype_results(const wasm_functype_t *);
void wasm_functype_delete(wasm_functype_t *);

wasmtime_store_t *wasmtime_store_new(wasm_engine_t *, void *data, void (*finalizer)(void *));
wasmtime_context_t *wasmtime_store_context(wasmtime_store_t *);
void wasmtime_store_delete(wasmtime_store_t *);

wasmtime_error_t *wasmtime_instance_new(wasmtime_context_t *, const wasmtime_module_t *,
                                        const wasmtime_extern_t *imports, size_t count, wasmtime_instance_t *,
                                        wasm_trap_t **);
bool wasmtime_instance_export_get(wasmtime_context_t *, const wasmtime_instance_t *, const char *name, size_t size,
                                  wasmtime_extern_t *);

void wasmtime_func_new_unchecked(wasmtime_context_t *, const wasm_functype_t *, wasmtime_func_unchecked_callback_t,
                                 void *env, void (*finalizer)(void *), wasmtime_func_t *);
wasm_functype_t *wasmtime_func_type(const wasmtime_context_t *, const wasmtime_func_t *);
wasmtime_error_t *wasmtime_func_call_unchecked(wasmtime_context_t *, const wasmtime_func_t *,
                                               wasmtime_val_raw_t *values, size_t count, wasm_trap_t **);
uint8_t *wasmtime_memory_data(const wasmtime_context_t *, const wasmtime_memory_t *);

wasm_trap_t *wasmtime_trap_new(const char *message, size_t size);
bool wasmtime_trap_code(const wasm_trap_t *, uint8_t *code);
void wasm_trap_message(const wasm_trap_t *, wasm_byte_vec_t *);
void wasm_trap_trace(const wasm_trap_t *, wasm_frame_vec_t *);
void wasm_trap_delete(wasm_trap_t *);
const wasm_byte_vec_t *wasmtime_frame_func_name(const wasm_frame_t *);
const wasm_byte_vec_t *wasmtime_frame_module_name(const wasm_frame_t *);
uint32_t wasm_frame_func_index(const wasm_frame_t *);
void wasm_frame_vec_delete(wasm_frame_vec_t *);
void wasm_byte_vec_delete(wasm_byte_vec_t *);
wasmtime_error_t *wasmtime_error_new(const char *message);
void wasmtime_error_message(const wasmtime_error_t *, wasm_byte_vec_t *);
void wasmtime_error_wasm_trace(const wasmtime_error_t *, wasm_frame_vec_t *);
void wasmtime_error_delete(wasmtime_error_t *);

// What we add.

// graphd_memory is a linear memory. It is freed with its store.
typedef struct graphd_memory {
  struct graphd_store *store; // or NULL
  struct graphd_memory *next; // of its store
  uint8_t *base;              // never moves
  size_t size;                // bytes in use
  size_t capacity;            // bytes of address space, without the guard
  size_t mapped;              // bytes of address space
  uint64_t refusals;          // how often the guest wanted more than its store had left
} graphd_memory;

// graphd_store is a store with what belongs to it.
typedef struct graphd_store {
  wasmtime_store_t *store;
  wasmtime_context_t *context;
  uintptr_t handle; // of the Go object, for host functions
  size_t left;      // bytes that the memories may take beyond those that they have
  graphd_memory *memories;
} graphd_store;

// graphd_func is a function of a store that Go calls. Numbers are of values.
typedef struct graphd_func {
  wasmtime_context_t *context;
  wasmtime_func_t func;
  uint32_t params, results;
  uint64_t *narrow; // a bit for each result that has 32 bits
} graphd_func;

// graphd_outcome is how a call ended: well, if both are NULL.
typedef struct graphd_outcome {
  wasm_trap_t *trap;
  wasmtime_error_t *error;
} graphd_outcome;

// graphd_thread_stack returns how much stack new threads have, in bytes; 0 where Go
// asks for another size than the system's.
size_t graphd_thread_stack(void);

wasm_engine_t *graphd_engine_new(size_t stack);
graphd_store *graphd_store_new(wasm_engine_t *, uintptr_t handle, size_t memory);
void graphd_store_delete(graphd_store *);
graphd_outcome graphd_instantiate(graphd_store *, const wasmtime_module_t *, const wasmtime_extern_t *imports,
                                  size_t count, wasmtime_instance_t *);
void graphd_host_func_new(graphd_store *, const wasm_functype_t *, uint32_t index, wasmtime_extern_t *);
graphd_memory *graphd_memory_find(graphd_store *, const wasmtime_memory_t *);
graphd_func *graphd_func_new(graphd_store *, const wasmtime_func_t *, const wasm_functype_t *);
void graphd_func_delete(graphd_func *);

// graphd_call calls f in place: stack holds its parameters, then its results, and
// is as long as the larger of the two.
graphd_outcome graphd_call(const graphd_func *f, uint64_t *stack);

#endif
