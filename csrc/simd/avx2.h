/* AVX2 with FMA: eight lanes. */
#define VW 8
typedef __m256 vf;
typedef __m256 vm;
MM_INLINE vf v_load(const float *p) { return _mm256_loadu_ps(p); }
MM_INLINE vf v_load_even(const float *p)
{
    vf a = _mm256_loadu_ps(p), b = _mm256_loadu_ps(p + 8);
    vf low = _mm256_permute2f128_ps(a, b, 0x20), high = _mm256_permute2f128_ps(a, b, 0x31);
    return _mm256_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0));
}
MM_INLINE void v_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
MM_INLINE vf v_set(float a) { return _mm256_set1_ps(a); }
MM_INLINE vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
MM_INLINE vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
MM_INLINE vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
MM_INLINE vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
MM_INLINE vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
MM_INLINE vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
MM_INLINE vf v_madd(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
MM_INLINE vm v_lt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
MM_INLINE vm v_eq(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
MM_INLINE vf v_select(vm m, vf a, vf b) { return _mm256_blendv_ps(b, a, m); }
MM_INLINE vf v_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
MM_INLINE vf v_copysign(vf a, vf s)
{
    return _mm256_or_ps(a, _mm256_and_ps(_mm256_set1_ps(-0.0f), s));
}
MM_INLINE vf v_shift_exponent(vf p, vf z)
{
    __m256i n = _mm256_slli_epi32(_mm256_castps_si256(z), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), n));
}
