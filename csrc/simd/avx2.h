/* AVX2 with FMA: eight lanes. */
#define VW 8
typedef __m256 vf;
typedef __m256 vm;
MM_INLINE vf v_load(const float *p) { return _mm256_loadu_ps(p); }
/* p[0], p[0], p[1], p[1], ... */
MM_INLINE vf v_load_doubled(const float *p)
{
    __m256i index = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), index);
}
/* the even and the odd elements of a and b, one behind the other */
MM_INLINE vf v_even(vf a, vf b)
{
    vf low = _mm256_permute2f128_ps(a, b, 0x20), high = _mm256_permute2f128_ps(a, b, 0x31);
    return _mm256_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0));
}
/* the even elements in some order, and that order put right: two instructions less in between */
MM_INLINE vf v_even_mixed(vf a, vf b) { return _mm256_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)); }
MM_INLINE vf v_in_order(vf a)
{
    __m256d pairs = _mm256_castps_pd(a);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(pairs, _MM_SHUFFLE(3, 1, 2, 0)));
}
MM_INLINE vf v_odd(vf a, vf b)
{
    vf low = _mm256_permute2f128_ps(a, b, 0x20), high = _mm256_permute2f128_ps(a, b, 0x31);
    return _mm256_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1));
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
MM_INLINE int v_any(vm m) { return _mm256_movemask_ps(m) != 0; }
MM_INLINE void v_load_bytes(const uint8_t *p, vf *a)
{
    for (int i = 0; i < 2; i++) {
        __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)(p + 8 * i));
        a[i] = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
    }
}
MM_INLINE void v_turn4(const vf *a, vf *b) /* in each half */
{
    vf p = _mm256_unpacklo_ps(a[0], a[2]), q = _mm256_unpackhi_ps(a[0], a[2]);
    vf r = _mm256_unpacklo_ps(a[1], a[3]), s = _mm256_unpackhi_ps(a[1], a[3]);
    b[0] = _mm256_unpacklo_ps(p, r);
    b[1] = _mm256_unpackhi_ps(p, r);
    b[2] = _mm256_unpacklo_ps(q, s);
    b[3] = _mm256_unpackhi_ps(q, s);
}
/* four floats from each of two places */
MM_INLINE vf v_fours(const float *p, const float *q)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(q), 1);
}
MM_INLINE void v_load_transposed(const float *p, ptrdiff_t stride, vf *a)
{
    vf rows[4];
    for (int i = 0; i < 4; i++)
        rows[i] = v_fours(p + i * stride, p + (i + 4) * stride);
    v_turn4(rows, a);
}
MM_INLINE void v_store_transposed(float *p, ptrdiff_t stride, const vf *a)
{
    vf rows[4];
    v_turn4(a, rows);
    for (int i = 0; i < 4; i++) {
        _mm_storeu_ps(p + i * stride, _mm256_castps256_ps128(rows[i]));
        _mm_storeu_ps(p + (i + 4) * stride, _mm256_extractf128_ps(rows[i], 1));
    }
}
#define MM_HAS_PICK
MM_INLINE vf v_pick(const float *eight, vf z)
{
    return _mm256_permutevar8x32_ps(_mm256_loadu_ps(eight), _mm256_castps_si256(z));
}
MM_INLINE void v_lookup(const float *table, int mask, vf z, vf *c)
{
    __m256i n = _mm256_and_si256(_mm256_castps_si256(z), _mm256_set1_epi32(mask));
    n = _mm256_slli_epi32(n, 2);
#if defined(__x86_64__) || defined(_M_X64)
    /* two offsets at a time go to integer registers, which beats the way through memory */
    __m128i low = _mm256_castsi256_si128(n), high = _mm256_extracti128_si256(n, 1);
    uint64_t at01 = (uint64_t)_mm_cvtsi128_si64(low), at23 = (uint64_t)_mm_extract_epi64(low, 1);
    uint64_t at45 = (uint64_t)_mm_cvtsi128_si64(high), at67 = (uint64_t)_mm_extract_epi64(high, 1);
    const uint64_t at[8] = {(uint32_t)at01, at01 >> 32, (uint32_t)at23, at23 >> 32,
                            (uint32_t)at45, at45 >> 32, (uint32_t)at67, at67 >> 32};
#else
    uint32_t at[8];
    _mm256_storeu_si256((__m256i *)at, n);
#endif
    vf rows[4];
    for (int i = 0; i < 4; i++)
        rows[i] = v_fours(table + at[i], table + at[i + 4]);
    v_turn4(rows, c);
}
