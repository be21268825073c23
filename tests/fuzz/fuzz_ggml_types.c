/* GGUF's tensor types on any bytes, and what is written on any floats: nothing beyond the buffers,
 * and what was written is read back as near as the type allows.
 *
 * Input: which type, how many rows gpt2_transpose() sees, then the tensor. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../engine/csrc/gpt2.h"

typedef struct {
    int32_t number, written;
    size_t block, block_size; /* elements, bytes */
} type;

static const type TYPES[] = {{GGML_F32, 1, 1, 4},    {GGML_F16, 1, 1, 2},
                             {GGML_BF16, 0, 1, 2},   {GGML_Q4_0, 0, 32, 18},
                             {GGML_Q8_0, 1, 32, 34}, {GGML_Q6_K, 0, 256, 210}};
enum { N_TYPES = sizeof TYPES / sizeof *TYPES };

static void require(int truth, const char *what) {
    if (truth) return;
    fprintf(stderr, "failed: %s\n", what);
    abort();
}

/* How far a value may be from what is read back, by the type's definition. */
static double allowed(const type *t, const float *block, float value) {
    if (t->number == GGML_F32) return 0;
    if (t->number == GGML_F16) /* half a unit in the last of 11 bits, or of the denormals */
        return fabs(value) > 65504 ? INFINITY : fmax(fabs(value) * 0x1p-11, 0x1p-25);
    double most = 0;
    for (size_t i = 0; i < t->block; i++) most = fmax(most, fabs(block[i]));
    double scale = most / 127;
    /* Half a quant and rounding errors; and 127 times the scale's own, which is a float16. */
    return scale > 65504 ? INFINITY : scale * 0.51 + 127 * fmax(scale * 0x1p-11, 0x1p-25);
}

static void write_and_read(const type *t, const float *in, size_t n) {
    size_t size = n / t->block * t->block_size;
    uint8_t *stored = malloc(size);
    float *back = malloc(n * sizeof *back);
    require(gpt2_ggml_from_f32(t->number, in, (int64_t)n, stored) == GPT2_OK, "written");
    require(gpt2_ggml_to_f32(t->number, stored, (int64_t)n, back) == GPT2_OK, "read back");
    require(gpt2_all_finite(back, (int64_t)n), "finite floats stay finite");
    for (size_t i = 0; i < n; i++)
        require(fabs((double)back[i] - (double)in[i]) <=
                    allowed(t, in + i / t->block * t->block, in[i]),
                "read back as it was written");
    free(back);
    free(stored);
}

static void transpose_twice(const float *in, size_t n, int32_t rows) {
    int32_t columns = (int32_t)n / rows;
    n = (size_t)rows * (size_t)columns;
    float *turned = malloc(n * sizeof *turned), *back = malloc(n * sizeof *back);
    gpt2_transpose(in, rows, columns, turned);
    gpt2_transpose(turned, columns, rows, back);
    require(memcmp(in, back, n * sizeof *back) == 0, "transposed twice it is the same");
    free(back);
    free(turned);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    const type *t = &TYPES[data[0] % N_TYPES];
    int32_t rows = 1 + data[1] % 70;
    data += 2;
    size -= 2;

    /* The bytes as a tensor of this type. */
    size_t n = size / t->block_size * t->block;
    float *floats = malloc(n * sizeof *floats);
    require(gpt2_ggml_to_f32(t->number, data, (int64_t)n, floats) == GPT2_OK, "read");
    transpose_twice(floats, n, rows);
    if (t->written && gpt2_all_finite(floats, (int64_t)n)) write_and_read(t, floats, n);
    free(floats);

    /* The bytes as floats to write; those that are not finite the engine refuses. */
    n = size / sizeof(float) / t->block * t->block;
    floats = malloc(n * sizeof *floats);
    memcpy(floats, data, n * sizeof *floats);
    for (size_t i = 0; i < n; i++)
        if (!gpt2_all_finite(floats + i, 1)) floats[i] = (float)i;
    uint8_t unwritten;
    if (t->written)
        write_and_read(t, floats, n);
    else
        require(gpt2_ggml_from_f32(t->number, floats, (int64_t)n, &unwritten) == GPT2_EFORMAT,
                "a type that is only read");
    free(floats);
    return 0;
}
