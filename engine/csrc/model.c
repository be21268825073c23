/* Packing, quantising and opening models. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "numeric.h"
#include "q8_0.h"

enum { HEADER = 64, ALIGN = 64, FORMAT_VERSION = 1 };

static const char MAGIC[8] = {'G', 'P', 'T', '2', 'P', 'A', 'C', 'K'};

typedef struct {
    char magic[8];
    int32_t version, type;
    gpt2_hparams hp;
} header;

static int64_t round_up(int64_t n, int64_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

static int possible(const gpt2_hparams *hp, int32_t type) {
    return (type == GPT2_F32 || type == GPT2_Q8_0) && hp->n_vocab >= 1 && hp->n_vocab <= 1 << 22 &&
           hp->n_ctx >= 1 && hp->n_ctx <= 1 << 16 && hp->n_embd >= 1 && hp->n_embd <= 1 << 14 &&
           hp->n_head >= 1 && hp->n_head <= hp->n_embd && hp->n_embd % hp->n_head == 0 &&
           hp->n_layer >= 1 && hp->n_layer <= 1 << 10;
}

gpt2_matrix gpt2_matrix_shape(gpt2_type type, int32_t n_in, int32_t n_out) {
    gpt2_matrix m = {.n_in = n_in, .n_out = n_out};
    m.n_blocks = (n_in + BLOCK - 1) / BLOCK;
    m.n_groups = (n_out + GROUP - 1) / GROUP;
    m.quants = type == GPT2_F32 ? 0 : round_up((int64_t)m.n_blocks * GROUP * 2, ALIGN);
    m.group_stride = type == GPT2_F32 ? (int64_t)n_in * GROUP * 4
                                      : m.quants + (int64_t)m.n_blocks * GROUP * BLOCK;
    m.pair_stride = 2 * m.group_stride;
    m.block_stride = GROUP * BLOCK;
    return m;
}

/* ---- The one order of the tensors, walked by size, pack and open alike -------------------- */

typedef struct {
    gpt2_type type;
    const float *tensor; /* pack: the tensor number `wanted`, into its place in out */
    int32_t wanted;
    uint8_t *out;
    const uint8_t *base; /* open: the packed model */
    int64_t at;          /* offset of tensor number `index` */
    int32_t index;
} walk;

static const float *walk_vector(walk *w, int64_t n) {
    const float *found = NULL;
    if (w->out && w->index == w->wanted) memcpy(w->out + w->at, w->tensor, (size_t)n * 4);
    if (w->base) found = (const float *)(const void *)(w->base + w->at);
    w->at += round_up(n * 4, ALIGN);
    w->index++;
    return found;
}

/* Quantises one block of a row into its lane of the group. */
static void pack_block(const float *x, int64_t stride, int32_t n, uint16_t *scale, uint8_t *lane) {
    int8_t quant[BLOCK];
    quantize_q8_0(x, stride, n, scale, quant);
    for (int i = 0; i < BLOCK; i++) lane[i / 4 * GROUP * 4 + i % 4] = (uint8_t)(quant[i] + 128);
}

/* Element (row, k) of the source stands at x[row * row_stride + k * k_stride]. */
static void pack_matrix(const gpt2_matrix *m, gpt2_type type, const float *x, int64_t row_stride,
                        int64_t k_stride, uint8_t *out) {
    for (int32_t row = 0; row < m->n_groups * GROUP; row++) {
        uint8_t *group = out + row / GROUP * m->group_stride;
        int32_t lane = row % GROUP;
        const float *source = x + row * row_stride;
        if (type == GPT2_F32) {
            float *f = (float *)(void *)group;
            for (int32_t k = 0; k < m->n_in; k++)
                f[k * GROUP + lane] = row < m->n_out ? source[k * k_stride] : 0;
            continue;
        }
        for (int32_t b = 0; b < m->n_blocks; b++) {
            int32_t n = m->n_in - b * BLOCK < BLOCK ? m->n_in - b * BLOCK : BLOCK;
            pack_block(source + b * BLOCK * k_stride, k_stride, row < m->n_out ? n : 0,
                       (uint16_t *)(void *)group + b * GROUP + lane,
                       group + m->quants + b * GROUP * BLOCK + lane * 4);
        }
    }
}

static gpt2_matrix walk_matrix(walk *w, int32_t n_in, int32_t n_out, int64_t row_stride,
                               int64_t k_stride) {
    gpt2_matrix m = gpt2_matrix_shape(w->type, n_in, n_out);
    if (w->out && w->index == w->wanted)
        pack_matrix(&m, w->type, w->tensor, row_stride, k_stride, w->out + w->at);
    if (w->base) m.data = w->base + w->at;
    w->at += round_up(m.group_stride * m.n_groups, ALIGN);
    w->index++;
    return m;
}

/* A conv1d weight of the checkpoint is [n_in][n_out]. */
static gpt2_matrix walk_conv(walk *w, int32_t n_in, int32_t n_out) {
    return walk_matrix(w, n_in, n_out, 1, n_out);
}

/* Passes over every tensor; fills *m where it is given. */
static void walk_tensors(walk *w, const gpt2_hparams *hp, gpt2_model *m) {
    int32_t e = hp->n_embd;
    gpt2_matrix wte = walk_matrix(w, e, hp->n_vocab, e, 1);
    const float *wpe = walk_vector(w, (int64_t)hp->n_ctx * e);
    for (int32_t l = 0; l < hp->n_layer; l++) {
        gpt2_layer layer;
        layer.ln_1_g = walk_vector(w, e);
        layer.ln_1_b = walk_vector(w, e);
        layer.c_attn = walk_conv(w, e, 3 * e);
        layer.c_attn_b = walk_vector(w, 3 * e);
        layer.attn_proj = walk_conv(w, e, e);
        layer.attn_proj_b = walk_vector(w, e);
        layer.ln_2_g = walk_vector(w, e);
        layer.ln_2_b = walk_vector(w, e);
        layer.c_fc = walk_conv(w, e, 4 * e);
        layer.c_fc_b = walk_vector(w, 4 * e);
        layer.mlp_proj = walk_conv(w, 4 * e, e);
        layer.mlp_proj_b = walk_vector(w, e);
        if (m) m->layers[l] = layer;
    }
    const float *ln_f_g = walk_vector(w, e);
    const float *ln_f_b = walk_vector(w, e);
    if (m) {
        m->wte = wte;
        m->wpe = wpe;
        m->ln_f_g = ln_f_g;
        m->ln_f_b = ln_f_b;
    }
}

int64_t gpt2_packed_size(const gpt2_hparams *hp, int32_t type) {
    if (!possible(hp, type)) return 0;
    walk w = {.at = HEADER, .type = (gpt2_type)type};
    walk_tensors(&w, hp, NULL);
    return w.at;
}

int32_t gpt2_all_finite(const float *x, int64_t n) {
    uint32_t worst = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = float_bits(x[i]) & 0x7fffffffu;
        worst = bits > worst ? bits : worst;
    }
    return worst < 0x7f800000u;
}

int32_t gpt2_n_tensors(const gpt2_hparams *hp) { return 2 + 12 * hp->n_layer + 2; }

int32_t gpt2_pack_tensor(const gpt2_hparams *hp, int32_t type, int32_t index, const float *tensor,
                         uint8_t *out) {
    if (!possible(hp, type)) return GPT2_EHPARAMS;
    walk w = {.at = HEADER, .type = (gpt2_type)type, .tensor = tensor, .wanted = index, .out = out};
    walk_tensors(&w, hp, NULL);
    return GPT2_OK;
}

int32_t gpt2_pack_header(const gpt2_hparams *hp, int32_t type, uint8_t *out) {
    if (!possible(hp, type)) return GPT2_EHPARAMS;
    header h = {.version = FORMAT_VERSION, .type = type, .hp = *hp};
    memcpy(h.magic, MAGIC, sizeof MAGIC);
    memcpy(out, &h, sizeof h);
    return GPT2_OK;
}

int32_t gpt2_model_open(const uint8_t *packed, int64_t size, gpt2_model **model) {
    header h;
    if (size < HEADER) return GPT2_EFORMAT;
    memcpy(&h, packed, sizeof h);
    if (memcmp(h.magic, MAGIC, sizeof MAGIC) != 0 || h.version != FORMAT_VERSION)
        return GPT2_EFORMAT;
    if (!possible(&h.hp, h.type)) return GPT2_EHPARAMS;
    if (gpt2_packed_size(&h.hp, h.type) != size) return GPT2_EFORMAT;
    gpt2_model *m = malloc(sizeof *m + (size_t)h.hp.n_layer * sizeof(gpt2_layer));
    if (!m) return GPT2_ENOMEM;
    m->hp = h.hp;
    m->type = (gpt2_type)h.type;
    m->size = size;
    m->kernels = gpt2_kernels_select();
    walk w = {.at = HEADER, .type = m->type, .base = packed};
    walk_tensors(&w, &h.hp, m);
    *model = m;
    return GPT2_OK;
}

void gpt2_model_close(gpt2_model *model) { free(model); }

const char *gpt2_kernel_name(const gpt2_model *model) { return model->kernels->name; }

void gpt2_embedding(const gpt2_model *m, int32_t token, float *out) {
    const gpt2_matrix *e = &m->wte;
    const uint8_t *group = e->data + token / GROUP * e->group_stride;
    int32_t lane = token % GROUP;
    if (m->type == GPT2_F32) {
        const float *f = (const float *)(const void *)group;
        for (int32_t k = 0; k < e->n_in; k++) out[k] = f[k * GROUP + lane];
        return;
    }
    const uint16_t *scales = (const uint16_t *)(const void *)group;
    const uint8_t *quants = group + e->quants;
    for (int32_t k = 0; k < e->n_in; k++) {
        int32_t q = quants[k / 4 * GROUP * 4 + lane * 4 + k % 4] - 128;
        out[k] = (float)q * f32_from_f16(scales[k / BLOCK * GROUP + lane]);
    }
}
