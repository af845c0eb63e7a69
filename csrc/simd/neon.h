/* NEON, in every 64-bit ARM CPU: four lanes, fused multiply-add. */
#define VW 4
typedef float32x4_t vf;
typedef uint32x4_t vm;
MM_INLINE vf v_load(const float *p) { return vld1q_f32(p); }
/* the even and the odd elements of a and b, one behind the other */
MM_INLINE vf v_even(vf a, vf b) { return vuzp1q_f32(a, b); }
MM_INLINE vf v_odd(vf a, vf b) { return vuzp2q_f32(a, b); }
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
MM_INLINE void v_lookup(const float *table, int mask, vf z, vf *c0, vf *c1, vf *c2, vf *c3)
{
    uint32_t at[4];
    uint32x4_t n = vandq_u32(vreinterpretq_u32_f32(z), vdupq_n_u32((uint32_t)mask));
    vst1q_u32(at, vshlq_n_u32(n, 2));
    vf r0 = vld1q_f32(table + at[0]), r1 = vld1q_f32(table + at[1]);
    vf r2 = vld1q_f32(table + at[2]), r3 = vld1q_f32(table + at[3]);
    float32x4x2_t a = vzipq_f32(r0, r2), b = vzipq_f32(r1, r3);
    float32x4x2_t low = vzipq_f32(a.val[0], b.val[0]), high = vzipq_f32(a.val[1], b.val[1]);
    *c0 = low.val[0];
    *c1 = low.val[1];
    *c2 = high.val[0];
    *c3 = high.val[1];
}
