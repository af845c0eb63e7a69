"""What cuts a face out of a picture and scales it, as a C file of its own."""

from __future__ import annotations

from .. import __version__
from .amalgamation import Needs, amalgamate

NAME = "minimeso_crop"
_HEADER = f"""\
/* {NAME}.h - cuts a box out of an RGB picture and scales it, made by minimeso {__version__}; do not
   edit.  The result has the bits that a detector's faces have in Python with that instruction set,
   where their framing says bilinear or bicubic_2x. */
#ifndef MINIMESO_CROP_H
#define MINIMESO_CROP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

typedef struct {{
    const uint8_t *pixels; /* RGB; line y begins at pixels + y * line_bytes */
    int64_t height, width, line_bytes;
    /* edges in pixels.  Those that the box covers, if only in part, are all that is looked at;
       outside the picture its edge pixels repeat.  It touches the picture, and is at most four
       times as large. */
    double left, top, right, bottom;
    int64_t out_height, out_width;
    int bicubic_2x; /* 0: bilinear; 1: where the box grows, of twice as many pixels by bicubic */
    int rounded;    /* 1: to whole levels of 255 */
}} {NAME}_box;

/* Bytes of workspace that a box needs, a multiple of 64; 0: it is none, or too large. */
size_t {NAME}_bytes(const {NAME}_box *box);

/* The box as (3, out_height, out_width) from 0 to 1: lines lie `line` floats apart, channels
   `plane`.  isa: NULL for the fastest, or scalar, sse2, avx2, avx512, neon, simd128.
   workspace: 64-byte aligned.  0, or a negative number where something is wrong. */
int {NAME}_run(const {NAME}_box *box, const char *isa, float *out, int64_t plane, int64_t line,
               void *workspace);

#ifdef __cplusplus
}}
#endif

#endif
"""
_FUNCTIONS = f"""\
/* --- what {NAME}.h declares --- */
#include "{NAME}.h"

/* The pixels that a box covers: columns from `left` on, lines from `top` on. */
typedef struct {{
    int64_t left, top, width, height;
}} part_t;

static int64_t within(int64_t i, int64_t size) {{ return i < 0 ? 0 : i < size ? i : size - 1; }}

/* 0 where the box is none. */
static int part_of(const {NAME}_box *box, part_t *part)
{{
    const int64_t most = 1 << 24, side = box->width > box->height ? box->width : box->height;
    const double x = box->left, y = box->top, right = box->right, bottom = box->bottom;
    if (box->width < 1 || box->height < 1 || side > most)
        return 0;
    if (!(x < right && y < bottom && x < (double)box->width && right > 0.0 &&
          y < (double)box->height && bottom > 0.0))
        return 0;
    if (right - x > 4.0 * (double)side || bottom - y > 4.0 * (double)side)
        return 0;
    part->left = (int64_t)floor(x);
    part->top = (int64_t)floor(y);
    part->width = (int64_t)ceil(right) - part->left;
    part->height = (int64_t)ceil(bottom) - part->top;
    return 1;
}}

static int is_inside(const {NAME}_box *box, const part_t *part)
{{
    return part->left >= 0 && part->top >= 0 && part->width <= box->width - part->left &&
           part->height <= box->height - part->top;
}}

/* Copies the part, with edge pixels outside the picture. */
static void copy_part(const {NAME}_box *box, const part_t *part, uint8_t *to)
{{
    for (int64_t i = 0; i < part->height; i++) {{
        const ptrdiff_t y = (ptrdiff_t)within(part->top + i, box->height);
        const uint8_t *line = box->pixels + y * (ptrdiff_t)box->line_bytes;
        for (int64_t j = 0; j < part->width; j++, to += 3)
            memcpy(to, line + 3 * (ptrdiff_t)within(part->left + j, box->width), 3);
    }}
}}

/* The box within its part, whose pixels are set later where they must be copied; 0: impossible. */
static size_t lay_out_crop(const {NAME}_box *box, const part_t *part, mm_crop *crop)
{{
    const int copied = !is_inside(box, part);
    const int64_t bytes = copied ? 3 * part->width * part->height : 0;
    *crop = (mm_crop){{.height = part->height,
                      .width = part->width,
                      .line_bytes = copied ? 3 * part->width : box->line_bytes,
                      .left = (float)(box->left - (double)part->left),
                      .top = (float)(box->top - (double)part->top),
                      .right = (float)(box->right - (double)part->left),
                      .bottom = (float)(box->bottom - (double)part->top),
                      .out_height = box->out_height,
                      .out_width = box->out_width,
                      .filter = box->bicubic_2x ? MM_FILTER_BICUBIC_2X : MM_FILTER_BILINEAR,
                      .rounded = box->rounded}};
    const size_t needed = mm_resize_bytes(crop);
    if (!needed || (uint64_t)bytes > SIZE_MAX / 4)
        return 0;
    return (needed + 63) / 64 * 64;
}}

size_t {NAME}_bytes(const {NAME}_box *box)
{{
    part_t part;
    mm_crop crop;
    if (!part_of(box, &part))
        return 0;
    const size_t needed = lay_out_crop(box, &part, &crop);
    if (!needed || is_inside(box, &part))
        return needed;
    return needed + ((size_t)(3 * part.width * part.height) + 63) / 64 * 64;
}}

int {NAME}_run(const {NAME}_box *box, const char *isa, float *out, int64_t plane, int64_t line,
               void *workspace)
{{
    part_t part;
    mm_crop crop;
    if (!part_of(box, &part))
        return MM_E_PROGRAM;
    const size_t needed = lay_out_crop(box, &part, &crop);
    if (!needed || !workspace || (uintptr_t)workspace % 64)
        return MM_E_PROGRAM;
    if (is_inside(box, &part)) {{
        crop.pixels = box->pixels + (ptrdiff_t)part.top * (ptrdiff_t)box->line_bytes +
                      3 * (ptrdiff_t)part.left;
    }} else {{
        copy_part(box, &part, (uint8_t *)workspace + needed);
        crop.pixels = (uint8_t *)workspace + needed;
    }}
    for (int i = MM_ISA_COUNT - 1; i >= 0; i--)
        if (mm_kernels_of(i) && mm_isa_supported(i) && (!isa || !strcmp(isa, mm_isa_name(i))))
            return mm_resize(i, &crop, out, plane, line, workspace);
    return MM_E_ISA;
}}
"""


def crop_files() -> dict[str, bytes]:
    """The source and its header by their names."""
    heading = (
        f"/* {NAME}.c - made by minimeso {__version__}; do not edit.  See {NAME}.h.  The engine in "
        "it: MIT licence,\n   copyright the minimeso authors. */\n"
    )
    needs = Needs((), (), roots=("mm_resize", "mm_resize_bytes"))
    files = {f"{NAME}.c": heading + amalgamate(needs, _FUNCTIONS), f"{NAME}.h": _HEADER}
    return {name: text.encode() for name, text in files.items()}
