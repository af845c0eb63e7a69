/* NEON, in every 64-bit ARM CPU: four lanes, fused multiply-add. */
#define VW 4
typedef float32x4_t vf;
typedef uint32x4_t vm;
MM_INLINE vf v_load(const float *p) { return vld1q_f32(p); }
/* p[0], p[0], p[1], p[1], ... */
MM_INLINE vf v_load_doubled(const float *p)
{
    float32x2_t a = vld1_f32(p);
    return vcombine_f32(vzip1_f32(a, a), vzip2_f32(a, a));
}
/* the even and the odd elements of a and b, one behind the other */
MM_INLINE vf v_even(vf a, vf b) { return vuzp1q_f32(a, b); }
MM_INLINE vf v_odd(vf a, vf b) { return vuzp2q_f32(a, b); }
MM_INLINE vf v_even_mixed(vf a, vf b) { return v_even(a, b); }
MM_INLINE vf v_in_order(vf a) { return a; }
MM_INLINE void v_store(float *p, vf a) { vst1q_f32(p, a); }
MM_INLINE vf v_set(float a) { return vdupq_n_f32(a); }
MM_INLINE vf v_add(vf a, vf b) { return vaddq_f32(a, b); }
MM_INLINE vf v_sub(vf a, vf b) { return vsubq_f32(a, b); }
MM_INLINE vf v_mul(vf a, vf b) { return vmulq_f32(a, b); }
MM_INLINE vf v_div(vf a, vf b) { return vdivq_f32(a, b); }
MM_INLINE vf v_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
MM_INLINE vf v_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
MM_INLINE vf v_madd(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
MM_INLINE vm v_lt(vf a, vf b) { return vcltq_f32(a, b); }
MM_INLINE vm v_eq(vf a, vf b) { return vceqq_f32(a, b); }
MM_INLINE vf v_select(vm m, vf a, vf b) { return vbslq_f32(m, a, b); }
MM_INLINE vf v_abs(vf a) { return vabsq_f32(a); }
MM_INLINE vf v_copysign(vf a, vf s) { return vbslq_f32(vdupq_n_u32(0x80000000u), s, a); }
MM_INLINE vf v_shift_exponent(vf p, vf z)
{
    uint32x4_t n = vshlq_n_u32(vreinterpretq_u32_f32(z), 23);
    return vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(p), n));
}
MM_INLINE int v_any(vm m) { return vmaxvq_u32(m) != 0; }
MM_INLINE void v_load_bytes(const uint8_t *p, vf *a)
{
    uint8x16_t bytes = vld1q_u8(p);
    uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_u8(vget_high_u8(bytes));
    a[0] = vcvtq_f32_u32(vmovl_u16(vget_low_u16(low)));
    a[1] = vcvtq_f32_u32(vmovl_u16(vget_high_u16(low)));
    a[2] = vcvtq_f32_u32(vmovl_u16(vget_low_u16(high)));
    a[3] = vcvtq_f32_u32(vmovl_u16(vget_high_u16(high)));
}
MM_INLINE void v_turn4(const vf *a, vf *b)
{
    vf p = vzip1q_f32(a[0], a[2]), q = vzip2q_f32(a[0], a[2]);
    vf r = vzip1q_f32(a[1], a[3]), s = vzip2q_f32(a[1], a[3]);
    b[0] = vzip1q_f32(p, r);
    b[1] = vzip2q_f32(p, r);
    b[2] = vzip1q_f32(q, s);
    b[3] = vzip2q_f32(q, s);
}
MM_INLINE void v_load_transposed(const float *p, ptrdiff_t stride, vf *a)
{
    vf rows[4];
    for (int i = 0; i < 4; i++)
        rows[i] = v_load(p + i * stride);
    v_turn4(rows, a);
}
MM_INLINE void v_store_transposed(float *p, ptrdiff_t stride, const vf *a)
{
    vf rows[4];
    v_turn4(a, rows);
    for (int i = 0; i < 4; i++)
        v_store(p + i * stride, rows[i]);
}
#ifndef MM_EMULATED /* which does not fuse: its reference has no v_pick */
#define MM_HAS_PICK
#endif
MM_INLINE vf v_pick(const float *eight, vf z)
{
#if defined(__aarch64__) || defined(_M_ARM64)
    /* the bytes of float n are 4 n, 4 n + 1, ... */
    uint32x4_t n = vandq_u32(vreinterpretq_u32_f32(z), vdupq_n_u32(7));
    uint32x4_t bytes = vmlaq_n_u32(vdupq_n_u32(0x03020100), n, 0x04040404);
    uint8x16x2_t table = {
        {vreinterpretq_u8_f32(v_load(eight)), vreinterpretq_u8_f32(v_load(eight + 4))}};
    return vreinterpretq_f32_u8(vqtbl2q_u8(table, vreinterpretq_u8_u32(bytes)));
#else
    uint32_t at[4];
    vst1q_u32(at, vandq_u32(vreinterpretq_u32_f32(z), vdupq_n_u32(7)));
    const float picked[4] = {eight[at[0]], eight[at[1]], eight[at[2]], eight[at[3]]};
    return v_load(picked);
#endif
}
MM_INLINE void v_lookup(const float *table, int mask, vf z, vf *c)
{
    uint32_t at[4];
    vf rows[4];
    uint32x4_t n = vandq_u32(vreinterpretq_u32_f32(z), vdupq_n_u32((uint32_t)mask));
    vst1q_u32(at, vshlq_n_u32(n, 2));
    for (int i = 0; i < 4; i++)
        rows[i] = v_load(table + at[i]);
    v_turn4(rows, c);
}
