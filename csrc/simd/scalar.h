/* One lane of plain C: the reference of the class without fused multiply-add.  The checks compile
   it once more with MM_SCALAR_FMA as the reference of the class that has it. */
#define VW 1
typedef float vf;
typedef int vm;
MM_INLINE vf v_load(const float *p) { return *p; }
MM_INLINE vf v_load_doubled(const float *p) { return *p; }
/* the even and the odd elements of a and b, one behind the other */
MM_INLINE vf v_even(vf a, vf b) { return (void)b, a; }
MM_INLINE vf v_odd(vf a, vf b) { return (void)a, b; }
MM_INLINE vf v_even_mixed(vf a, vf b) { return v_even(a, b); }
MM_INLINE vf v_in_order(vf a) { return a; }
MM_INLINE void v_store(float *p, vf a) { *p = a; }
MM_INLINE vf v_set(float a) { return a; }
MM_INLINE vf v_add(vf a, vf b) { return a + b; }
MM_INLINE vf v_sub(vf a, vf b) { return a - b; }
MM_INLINE vf v_mul(vf a, vf b) { return a * b; }
MM_INLINE vf v_div(vf a, vf b) { return a / b; }
MM_INLINE vf v_max(vf a, vf b) { return a > b ? a : b; }
MM_INLINE vf v_min(vf a, vf b) { return a < b ? a : b; }
#ifdef MM_SCALAR_FMA
MM_INLINE vf v_madd(vf a, vf b, vf c) { return fmaf(a, b, c); }
#else
MM_INLINE vf v_madd(vf a, vf b, vf c) { return a * b + c; }
#endif
MM_INLINE vm v_lt(vf a, vf b) { return a < b; }
MM_INLINE vm v_eq(vf a, vf b) { return a == b; }
MM_INLINE vf v_select(vm m, vf a, vf b) { return m ? a : b; }
MM_INLINE vf v_abs(vf a) { return fabsf(a); }
MM_INLINE vf v_copysign(vf a, vf s) { return copysignf(a, s); }
MM_INLINE vf v_shift_exponent(vf p, vf z)
{
    uint32_t a, b;
    memcpy(&a, &p, 4);
    memcpy(&b, &z, 4);
    a += b << 23;
    memcpy(&p, &a, 4);
    return p;
}
MM_INLINE int v_any(vm m) { return m; }
#ifdef MM_SCALAR_FMA
#define MM_HAS_PICK
MM_INLINE vf v_pick(const float *eight, vf z)
{
    uint32_t bits;
    memcpy(&bits, &z, 4);
    return eight[bits & 7];
}
#endif
MM_INLINE void v_lookup(const float *table, int mask, vf z, vf *c)
{
    uint32_t bits;
    memcpy(&bits, &z, 4);
    table += 4 * (bits & (uint32_t)mask);
    memcpy(c, table, 4 * sizeof *c);
}
MM_INLINE void v_load_bytes(const uint8_t *p, vf *a)
{
    for (int i = 0; i < MM_LANES; i++)
        a[i] = p[i];
}
MM_INLINE void v_load_transposed(const float *p, ptrdiff_t stride, vf *a)
{
    (void)stride;
    memcpy(a, p, 4 * sizeof *a);
}
MM_INLINE void v_store_transposed(float *p, ptrdiff_t stride, const vf *a)
{
    (void)stride;
    memcpy(p, a, 4 * sizeof *p);
}
