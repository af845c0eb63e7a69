/* math.h - of the C library's, what an exported network asks for: all are instructions of
   WebAssembly. */
#ifndef WEB_MATH_H
#define WEB_MATH_H
#define INFINITY __builtin_inff()
double sqrt(double x);
double ceil(double x);
double floor(double x);
double fabs(double x);
float fabsf(float x);
float copysignf(float x, float sign);
#endif
