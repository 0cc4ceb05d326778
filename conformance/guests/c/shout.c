// SPDX-License-Identifier: Apache-2.0
//
// The operator of the scenario, without a library: everything that it needs of the
// world is in processor.h.

#define CONTEXT "shout/map"
#include "processor.h"

static uint8_t property[64];
static uint32_t property_len;

static int is(struct bytes b, const char *want, uint32_t len) {
  return b.len == len && __builtin_memcmp(b.ptr, want, len) == 0;
}
#define IS(bytes, literal) is(bytes, literal, sizeof(literal) - 1)

// own returns b as a buffer-or-string of the guest's.
static struct text own(struct bytes b) {
  struct text t = {.tag = BYTES};
  t.bytes = b;
  return t;
}
#define LITERAL(literal) own((struct bytes){(uint8_t *)(literal), sizeof(literal) - 1})

// join returns a string literal and b after it.
static struct bytes join(const char *text, uint32_t len, struct bytes b) {
  struct bytes out = {allocate(1, len + b.len), len + b.len};
  __builtin_memcpy(out.ptr, text, len);
  __builtin_memcpy(out.ptr + len, b.ptr, b.len);
  return out;
}
#define JOIN(literal, bytes) join(literal, sizeof(literal) - 1, bytes)

// decimal returns n in digits.
static struct bytes decimal(uint32_t n) {
  uint8_t *end = (uint8_t *)allocate(1, 10) + 10, *p = end;
  do
    *--p = '0' + n % 10;
  while (n /= 10);
  return (struct bytes){p, end - p};
}

EXPORT("wasm-graph:processor/map@1.1.0#init")
uint32_t init(const struct setting *settings, uint32_t settings_len, const void *schemas, uint32_t schemas_len) {
  (void)schemas, (void)schemas_len;
  struct bytes name = {(uint8_t *)"length", 6};
  uint32_t accept = 1;
  for (uint32_t i = 0; i < settings_len; i++) {
    if (IS(settings[i].key, "property")) name = settings[i].value;
    if (IS(settings[i].key, "refuse")) accept = 0;
  }
  if (name.len > sizeof(property)) return 0;
  __builtin_memcpy(property, name.ptr, name.len);
  property_len = name.len;
  struct bytes line = JOIN("adding user property ", name);
  host_log(INFO, CONTEXT, sizeof(CONTEXT) - 1, line.ptr, line.len);
  release();
  return accept;
}

// count counts in the state store. It returns how many messages there have been, or
// 0, with an error.
static uint32_t count(struct bytes *error) {
  static const uint8_t key[] = "count";
  struct stored got;
  store_get(key, sizeof(key) - 1, 0, 0, 0, &got);
  if (got.tag == ERR) {
    *error = got.error.tag == REQUEST_ERROR ? JOIN("state store: ", got.error.text) : (struct bytes){(uint8_t *)"state store", 11};
    return 0;
  }
  uint32_t n = 0;
  for (uint32_t i = 0; got.some && i < got.value.len; i++) n = 10 * n + got.value.ptr[i] - '0';
  struct bytes value = decimal(++n);
  static struct set_request request;
  request = (struct set_request){.key = {(uint8_t *)key, sizeof(key) - 1}, .value = value, .conditions = UNCONDITIONAL};
  struct set_response set;
  store_set(&request, &set);
  if (set.tag == ERR) {
    *error = set.error.tag == REQUEST_ERROR ? JOIN("state store: ", set.error.text) : (struct bytes){(uint8_t *)"state store", 11};
    return 0;
  }
  return n;
}

EXPORT("wasm-graph:processor/map@1.1.0#process")
struct result *process(struct data_model *in) {
  static struct result out;
  if (in->tag != MESSAGE) return FAIL(&out, "Unexpected input type.");
  struct message *m = &in->message;
  struct bytes payload = read(&m->payload);
  if (payload.len == 0) return FAIL(&out, "payload is empty");
  for (uint32_t i = 0; i < payload.len; i++)
    if (payload.ptr[i] >= 'a' && payload.ptr[i] <= 'z') payload.ptr[i] -= 'a' - 'A';

  struct bytes error;
  uint32_t n = count(&error);
  if (n == 0) {
    out.tag = ERR;
    out.error = error;
    return &out;
  }
  struct label label = {{(uint8_t *)"operator", 8}, {(uint8_t *)"shout", 5}};
  struct metrics_result counted;
  add_to_counter("messages", 8, 0, 1, 1, &label, 1, &counted);
  if (counted.tag == ERR) {
    out.tag = ERR;
    out.error = counted.error.text;
    return &out;
  }

  uint32_t len = m->user_properties.len;
  struct property *properties = allocate(_Alignof(struct property), (len + 2) * sizeof(struct property));
  __builtin_memcpy(properties, m->user_properties.ptr, len * sizeof(struct property));
  properties[len] = (struct property){own((struct bytes){property, property_len}), own(decimal(payload.len))};
  properties[len + 1] = (struct property){LITERAL("count"), own(decimal(n))};
  m->user_properties.ptr = properties;
  m->user_properties.len = len + 2;
  m->content_type = (struct optional_text){1, LITERAL("text/plain")};
  out.tag = OK;
  out.ok = *in;
  return &out;
}

EXPORT("cabi_post_wasm-graph:processor/map@1.1.0#process")
void process_done(struct result *out) {
  (void)out;
  release();
}
