/* coefficients.h - made by `python tools/fit.py`; do not edit. */
#ifndef MINIMESO_COEFFICIENTS_H
#define MINIMESO_COEFFICIENTS_H
/* largest error 3.0e-08 */
static const float MM_LOG1P_A[] = {
    1.000000000e+00f, 1.380386829e+00f, 4.184738696e-01f, 8.788156323e-03f};
/* largest error 3.0e-08 */
static const float MM_LOG1P_B[] = {
    1.000000000e+00f, 8.803898096e-01f, 1.449007690e-01f};
/* largest error 8.9e-08 */
static const float MM_ATAN[] = {
    9.999999404e-01f, -3.333209455e-01f, 1.997137517e-01f, -1.402941644e-01f, 9.942748398e-02f, -5.990455300e-02f, 2.455700561e-02f, -4.780421034e-03f};
#endif
