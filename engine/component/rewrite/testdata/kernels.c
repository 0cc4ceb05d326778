// SPDX-License-Identifier: Apache-2.0
//
// Kernels for the benchmark and the tests of package rewrite. To build kernels.wasm:
//
//	clang --target=wasm32 -O2 -mbulk-memory -nostdlib -Wl,--no-entry -Wl,--strip-debug -o kernels.wasm kernels.c

typedef unsigned char u8;
typedef unsigned int u32;

#define EXPORT(name) __attribute__((export_name(name), noinline))

// Recursion without anything else.
EXPORT("fib") u32 fib(u32 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

static u8 bytes[1 << 16];

static void fill(void) {
    u32 x = 12345;
    for (u32 i = 0; i < sizeof bytes; i++) {
        x = x * 1664525 + 1013904223;
        bytes[i] = x >> 24;
    }
}

// The tightest loop there is: one load and one addition.
EXPORT("bytesum") u32 bytesum(u32 rounds) {
    u32 sum = 0;
    fill();
    for (; rounds; rounds--) {
#pragma clang loop unroll(disable) vectorize(disable)
        for (u32 i = 0; i < sizeof bytes; i++) sum += bytes[i];
        bytes[rounds & 0xff] ^= sum;
    }
    return sum;
}

// SHA-256 of the buffer.
static const u32 k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

#define ROR(x, n) ((x) >> (n) | (x) << (32 - (n)))

static void block(u32 h[8], const u8 *p) {
    u32 w[64];
    for (int i = 0; i < 16; i++, p += 4) w[i] = p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
    for (int i = 16; i < 64; i++) {
        u32 a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (ROR(a, 7) ^ ROR(a, 18) ^ a >> 3) + w[i - 7] + (ROR(b, 17) ^ ROR(b, 19) ^ b >> 10);
    }
    u32 s[8];
    for (int i = 0; i < 8; i++) s[i] = h[i];
#pragma clang loop unroll(disable)
    for (int i = 0; i < 64; i++) {
        u32 t1 = s[7] + (ROR(s[4], 6) ^ ROR(s[4], 11) ^ ROR(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
        u32 t2 = (ROR(s[0], 2) ^ ROR(s[0], 13) ^ ROR(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + t1;
        s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) h[i] += s[i];
}

EXPORT("sha256") u32 sha256(u32 rounds) {
    u32 h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    fill();
    for (; rounds; rounds--)
        for (u32 i = 0; i < sizeof bytes; i += 64) block(h, bytes + i);
    return h[0];
}

// A scanner with a state machine, as JSON parsers have it.
static const char json[] =
    "{\"temperature\":{\"value\":100.25,\"unit\":\"F\"},\"tags\":[\"a\\\"b\",true,false,null,-1.5e-7],\"nested\":{\"x\":[1,2,3,[4,[5]]]}}";

static u32 scan(const char *p, const char *end) {
    u32 depth = 0, strings = 0, numbers = 0, words = 0;
    while (p < end) {
        switch (*p) {
        case '{':
        case '[':
            depth++, p++;
            break;
        case '}':
        case ']':
            depth--, p++;
            break;
        case '"':
            for (p++; *p != '"'; p++)
                if (*p == '\\') p++;
            p++, strings++;
            break;
        case '-':
        case '0' ... '9':
            while (*p == '-' || *p == '+' || *p == '.' || *p == 'e' || (*p >= '0' && *p <= '9')) p++;
            numbers++;
            break;
        case 't':
        case 'f':
        case 'n':
            while (*p >= 'a' && *p <= 'z') p++;
            words++;
            break;
        default:
            p++;
        }
    }
    return depth << 24 | strings << 16 | numbers << 8 | words;
}

EXPORT("json") u32 scan_json(u32 rounds) {
    u32 sum = 0;
    for (; rounds; rounds--) {
        sum = sum * 31 + scan(json, json + sizeof json - 1);
        __asm__ volatile("" ::: "memory");
    }
    return sum;
}

// A product of matrices.
enum { N = 64 };
static float a[N][N], b[N][N], c[N][N];

EXPORT("matmul") u32 matmul(u32 rounds) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) a[i][j] = i + j, b[i][j] = i - j;
    for (; rounds; rounds--)
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                float sum = rounds;
#pragma clang loop unroll(disable) vectorize(disable)
                for (int l = 0; l < N; l++) sum += a[i][l] * b[l][j];
                c[i][j] = sum;
            }
    return (u32)c[3][7];
}
