/* SSE2, in every x86-64 CPU: four lanes, no fused multiply-add. */
#define VW 4
typedef __m128 vf;
typedef __m128 vm;
MM_INLINE vf v_load(const float *p) { return _mm_loadu_ps(p); }
/* p[0], p[0], p[1], p[1], ... */
MM_INLINE vf v_load_doubled(const float *p)
{
    __m128 a = _mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)(const void *)p));
    return _mm_unpacklo_ps(a, a);
}
/* the even and the odd elements of a and b, one behind the other */
MM_INLINE vf v_even(vf a, vf b) { return _mm_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)); }
MM_INLINE vf v_odd(vf a, vf b) { return _mm_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)); }
MM_INLINE vf v_even_mixed(vf a, vf b) { return v_even(a, b); }
MM_INLINE vf v_in_order(vf a) { return a; }
MM_INLINE void v_store(float *p, vf a) { _mm_storeu_ps(p, a); }
MM_INLINE vf v_set(float a) { return _mm_set1_ps(a); }
MM_INLINE vf v_add(vf a, vf b) { return _mm_add_ps(a, b); }
MM_INLINE vf v_sub(vf a, vf b) { return _mm_sub_ps(a, b); }
MM_INLINE vf v_mul(vf a, vf b) { return _mm_mul_ps(a, b); }
MM_INLINE vf v_div(vf a, vf b) { return _mm_div_ps(a, b); }
MM_INLINE vf v_max(vf a, vf b) { return _mm_max_ps(a, b); }
MM_INLINE vf v_min(vf a, vf b) { return _mm_min_ps(a, b); }
MM_INLINE vf v_madd(vf a, vf b, vf c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
MM_INLINE vm v_lt(vf a, vf b) { return _mm_cmplt_ps(a, b); }
MM_INLINE vm v_eq(vf a, vf b) { return _mm_cmpeq_ps(a, b); }
MM_INLINE vf v_select(vm m, vf a, vf b) { return _mm_or_ps(_mm_and_ps(m, a), _mm_andnot_ps(m, b)); }
MM_INLINE vf v_abs(vf a) { return _mm_andnot_ps(_mm_set1_ps(-0.0f), a); }
MM_INLINE vf v_copysign(vf a, vf s) { return _mm_or_ps(a, _mm_and_ps(_mm_set1_ps(-0.0f), s)); }
MM_INLINE vf v_shift_exponent(vf p, vf z)
{
    __m128i n = _mm_slli_epi32(_mm_castps_si128(z), 23);
    return _mm_castsi128_ps(_mm_add_epi32(_mm_castps_si128(p), n));
}
MM_INLINE int v_any(vm m) { return _mm_movemask_ps(m) != 0; }
MM_INLINE void v_load_bytes(const uint8_t *p, vf *a)
{
    const __m128i zero = _mm_setzero_si128();
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i low = _mm_unpacklo_epi8(bytes, zero), high = _mm_unpackhi_epi8(bytes, zero);
    a[0] = _mm_cvtepi32_ps(_mm_unpacklo_epi16(low, zero));
    a[1] = _mm_cvtepi32_ps(_mm_unpackhi_epi16(low, zero));
    a[2] = _mm_cvtepi32_ps(_mm_unpacklo_epi16(high, zero));
    a[3] = _mm_cvtepi32_ps(_mm_unpackhi_epi16(high, zero));
}
MM_INLINE void v_turn4(const vf *a, vf *b)
{
    vf p = _mm_unpacklo_ps(a[0], a[2]), q = _mm_unpackhi_ps(a[0], a[2]);
    vf r = _mm_unpacklo_ps(a[1], a[3]), s = _mm_unpackhi_ps(a[1], a[3]);
    b[0] = _mm_unpacklo_ps(p, r);
    b[1] = _mm_unpackhi_ps(p, r);
    b[2] = _mm_unpacklo_ps(q, s);
    b[3] = _mm_unpackhi_ps(q, s);
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
MM_INLINE void v_lookup(const float *table, int mask, vf z, vf *c)
{
    uint32_t at[4];
    vf rows[4];
    __m128i n = _mm_and_si128(_mm_castps_si128(z), _mm_set1_epi32(mask));
    _mm_storeu_si128((__m128i *)at, _mm_slli_epi32(n, 2));
    for (int i = 0; i < 4; i++)
        rows[i] = v_load(table + at[i]);
    v_turn4(rows, c);
}
