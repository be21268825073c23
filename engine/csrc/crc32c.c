/* CRC-32C, eight bytes a step ("slicing by eight", Kounavis and Berry, 2005). */
#include "gpt2.h"

static uint32_t table[8][256];

/* Runs when the library is loaded, before any thread of ours. */
__attribute__((constructor)) static void fill_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
        table[0][i] = c;
    }
    for (int k = 1; k < 8; k++)
        for (int i = 0; i < 256; i++)
            table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 255];
}

uint32_t gpt2_crc32c(uint32_t crc, const uint8_t *data, int64_t n) {
    crc = ~crc;
    for (; n >= 8; n -= 8, data += 8) {
        uint32_t lo = (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
                      (uint32_t)data[3] << 24;
        lo ^= crc;
        crc = table[7][lo & 255] ^ table[6][lo >> 8 & 255] ^ table[5][lo >> 16 & 255] ^
              table[4][lo >> 24] ^ table[3][data[4]] ^ table[2][data[5]] ^ table[1][data[6]] ^
              table[0][data[7]];
    }
    for (; n > 0; n--, data++) crc = crc >> 8 ^ table[0][(crc ^ *data) & 255];
    return ~crc;
}
