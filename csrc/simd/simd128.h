/* SIMD128 of WebAssembly, in every browser since 2023: four lanes, no fused multiply-add. */
#define VW 4
typedef v128_t vf;
typedef v128_t vm;
MM_INLINE vf v_load(const float *p) { return wasm_v128_load(p); }
/* p[0], p[0], p[1], p[1], ... */
MM_INLINE vf v_load_doubled(const float *p)
{
    v128_t a = wasm_v128_load64_zero(p);
    return wasm_i32x4_shuffle(a, a, 0, 0, 1, 1);
}
/* the even and the odd elements of a and b, one behind the other */
MM_INLINE vf v_even(vf a, vf b) { return wasm_i32x4_shuffle(a, b, 0, 2, 4, 6); }
MM_INLINE vf v_odd(vf a, vf b) { return wasm_i32x4_shuffle(a, b, 1, 3, 5, 7); }
MM_INLINE vf v_even_mixed(vf a, vf b) { return v_even(a, b); }
MM_INLINE vf v_in_order(vf a) { return a; }
MM_INLINE void v_store(float *p, vf a) { wasm_v128_store(p, a); }
MM_INLINE vf v_set(float a) { return wasm_f32x4_splat(a); }
MM_INLINE vf v_add(vf a, vf b) { return wasm_f32x4_add(a, b); }
MM_INLINE vf v_sub(vf a, vf b) { return wasm_f32x4_sub(a, b); }
MM_INLINE vf v_mul(vf a, vf b) { return wasm_f32x4_mul(a, b); }
MM_INLINE vf v_div(vf a, vf b) { return wasm_f32x4_div(a, b); }
/* pmax(b, a) is b < a ? a : b */
MM_INLINE vf v_max(vf a, vf b) { return wasm_f32x4_pmax(b, a); }
MM_INLINE vf v_min(vf a, vf b) { return wasm_f32x4_pmin(b, a); }
MM_INLINE vf v_madd(vf a, vf b, vf c) { return wasm_f32x4_add(wasm_f32x4_mul(a, b), c); }
MM_INLINE vm v_lt(vf a, vf b) { return wasm_f32x4_lt(a, b); }
MM_INLINE vm v_eq(vf a, vf b) { return wasm_f32x4_eq(a, b); }
MM_INLINE vf v_select(vm m, vf a, vf b) { return wasm_v128_bitselect(a, b, m); }
MM_INLINE vf v_abs(vf a) { return wasm_f32x4_abs(a); }
MM_INLINE vf v_copysign(vf a, vf s)
{
    return wasm_v128_or(a, wasm_v128_and(wasm_f32x4_splat(-0.0f), s));
}
MM_INLINE vf v_shift_exponent(vf p, vf z) { return wasm_i32x4_add(p, wasm_i32x4_shl(z, 23)); }
MM_INLINE int v_any(vm m) { return wasm_v128_any_true(m); }
MM_INLINE void v_load_bytes(const uint8_t *p, vf *a)
{
    v128_t bytes = wasm_v128_load(p);
    v128_t low = wasm_u16x8_extend_low_u8x16(bytes), high = wasm_u16x8_extend_high_u8x16(bytes);
    a[0] = wasm_f32x4_convert_u32x4(wasm_u32x4_extend_low_u16x8(low));
    a[1] = wasm_f32x4_convert_u32x4(wasm_u32x4_extend_high_u16x8(low));
    a[2] = wasm_f32x4_convert_u32x4(wasm_u32x4_extend_low_u16x8(high));
    a[3] = wasm_f32x4_convert_u32x4(wasm_u32x4_extend_high_u16x8(high));
}
MM_INLINE vf v_zip_low(vf a, vf b) { return wasm_i32x4_shuffle(a, b, 0, 4, 1, 5); }
MM_INLINE vf v_zip_high(vf a, vf b) { return wasm_i32x4_shuffle(a, b, 2, 6, 3, 7); }
MM_INLINE void v_turn4(const vf *a, vf *b)
{
    vf p = v_zip_low(a[0], a[2]), q = v_zip_high(a[0], a[2]);
    vf r = v_zip_low(a[1], a[3]), s = v_zip_high(a[1], a[3]);
    b[0] = v_zip_low(p, r);
    b[1] = v_zip_high(p, r);
    b[2] = v_zip_low(q, s);
    b[3] = v_zip_high(q, s);
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
    wasm_v128_store(at, wasm_i32x4_shl(wasm_v128_and(z, wasm_i32x4_splat(mask)), 2));
    for (int i = 0; i < 4; i++)
        rows[i] = v_load(table + at[i]);
    v_turn4(rows, c);
}
