#pragma once
#define HUGE_VAL __builtin_huge_val()
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define isnan(x) __builtin_isnan(x)
double ceil(double), floor(double), fabs(double), exp(double), log(double), sqrt(double);
float fmaf(float, float, float), fabsf(float), sqrtf(float), floorf(float), rintf(float);
float expf(float), nearbyintf(float), copysignf(float, float), fmaxf(float, float);
