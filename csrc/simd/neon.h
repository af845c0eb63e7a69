/* NEON, in every 64-bit ARM CPU: four lanes, fused multiply-add. */
#define VW 4
typedef float32x4_t vf;
typedef uint32x4_t vm;
MM_INLINE vf v_load(const float *p) { return vld1q_f32(p); }
MM_INLINE vf v_load_even(const float *p) { return vuzp1q_f32(vld1q_f32(p), vld1q_f32(p + 4)); }
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
