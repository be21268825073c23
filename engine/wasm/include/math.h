/* Of math.h, what the core calls: WebAssembly has instructions for it. */
#ifndef GPT2_MATH_H
#define GPT2_MATH_H

#define INFINITY __builtin_inff()
#define isfinite(x) __builtin_isfinite(x)

float sqrtf(float x);

#endif
