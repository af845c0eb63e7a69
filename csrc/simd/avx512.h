/* AVX-512 (F and DQ): sixteen lanes. */
#define VW 16
typedef __m512 vf;
typedef __mmask16 vm;
MM_INLINE vf v_load(const float *p) { return _mm512_loadu_ps(p); }
/* p[0], p[0], p[1], p[1], ... */
MM_INLINE vf v_load_doubled(const float *p)
{
    __m512i index = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    return _mm512_permutexvar_ps(index, _mm512_castps256_ps512(_mm256_loadu_ps(p)));
}
/* the even and the odd elements of a and b, one behind the other */
MM_INLINE vf v_even(vf a, vf b)
{
    __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    return _mm512_permutex2var_ps(a, even, b);
}
MM_INLINE vf v_odd(vf a, vf b)
{
    __m512i odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_permutex2var_ps(a, odd, b);
}
MM_INLINE vf v_even_mixed(vf a, vf b) { return v_even(a, b); }
MM_INLINE vf v_in_order(vf a) { return a; }
MM_INLINE void v_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
MM_INLINE vf v_set(float a) { return _mm512_set1_ps(a); }
MM_INLINE vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
MM_INLINE vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
MM_INLINE vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
MM_INLINE vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
MM_INLINE vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
MM_INLINE vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
MM_INLINE vf v_madd(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
MM_INLINE vm v_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
MM_INLINE vm v_eq(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
MM_INLINE vf v_select(vm m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); }
MM_INLINE vf v_abs(vf a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
MM_INLINE vf v_copysign(vf a, vf s)
{
    return _mm512_or_ps(a, _mm512_and_ps(_mm512_set1_ps(-0.0f), s));
}
MM_INLINE vf v_shift_exponent(vf p, vf z)
{
    __m512i n = _mm512_slli_epi32(_mm512_castps_si512(z), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), n));
}
MM_INLINE int v_any(vm m) { return m != 0; }
MM_INLINE void v_load_bytes(const uint8_t *p, vf *a)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    a[0] = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
}
MM_INLINE void v_turn4(const vf *a, vf *b) /* in each quarter */
{
    vf p = _mm512_unpacklo_ps(a[0], a[2]), q = _mm512_unpackhi_ps(a[0], a[2]);
    vf r = _mm512_unpacklo_ps(a[1], a[3]), s = _mm512_unpackhi_ps(a[1], a[3]);
    b[0] = _mm512_unpacklo_ps(p, r);
    b[1] = _mm512_unpackhi_ps(p, r);
    b[2] = _mm512_unpacklo_ps(q, s);
    b[3] = _mm512_unpackhi_ps(q, s);
}
/* four floats from each of four places */
MM_INLINE vf v_fours(const float *p, const float *q, const float *r, const float *s)
{
    vf a = _mm512_insertf32x4(_mm512_castps128_ps512(_mm_loadu_ps(p)), _mm_loadu_ps(q), 1);
    return _mm512_insertf32x4(_mm512_insertf32x4(a, _mm_loadu_ps(r), 2), _mm_loadu_ps(s), 3);
}
MM_INLINE void v_load_transposed(const float *p, ptrdiff_t stride, vf *a)
{
    vf rows[4];
    for (int i = 0; i < 4; i++) {
        const float *q = p + i * stride;
        rows[i] = v_fours(q, q + 4 * stride, q + 8 * stride, q + 12 * stride);
    }
    v_turn4(rows, a);
}
MM_INLINE void v_store_transposed(float *p, ptrdiff_t stride, const vf *a)
{
    vf rows[4];
    v_turn4(a, rows);
    for (int i = 0; i < 4; i++) {
        float *q = p + i * stride;
        _mm_storeu_ps(q, _mm512_castps512_ps128(rows[i]));
        _mm_storeu_ps(q + 4 * stride, _mm512_extractf32x4_ps(rows[i], 1));
        _mm_storeu_ps(q + 8 * stride, _mm512_extractf32x4_ps(rows[i], 2));
        _mm_storeu_ps(q + 12 * stride, _mm512_extractf32x4_ps(rows[i], 3));
    }
}
#ifndef MM_EMULATED /* which does not fuse: its reference has no v_pick */
#define MM_HAS_PICK
#endif
MM_INLINE vf v_pick(const float *eight, vf z) /* four bits count here: the eight lie there twice */
{
    vf table = _mm512_broadcast_f32x8(_mm256_loadu_ps(eight));
    return _mm512_permutexvar_ps(_mm512_castps_si512(z), table);
}
MM_INLINE void v_lookup(const float *table, int mask, vf z, vf *c)
{
    uint32_t at[16];
    vf rows[4];
    __m512i n = _mm512_and_si512(_mm512_castps_si512(z), _mm512_set1_epi32(mask));
    _mm512_storeu_si512(at, _mm512_slli_epi32(n, 2));
    for (int i = 0; i < 4; i++)
        rows[i] = v_fours(table + at[i], table + at[i + 4], table + at[i + 8], table + at[i + 12]);
    v_turn4(rows, c);
}
