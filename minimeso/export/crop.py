"""What cuts a face out of a picture and scales it, as a C file of its own."""

from __future__ import annotations

from .. import __version__
from .amalgamation import Needs, amalgamate

NAME = "minimeso_crop"
_HEADER = f"""\
/* {NAME}.h - cuts a box out of an RGB picture and scales it, made by minimeso {__version__}; do not
   edit.  The result has the bits that minimeso has in Python with that instruction set. */
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
    float left, top, right, bottom; /* edges in pixels, 0 <= left < right <= width */
    int64_t out_height, out_width;
}} {NAME}_box;

/* Bytes of workspace that a box needs; 0: it is none, or too large. */
size_t {NAME}_bytes(const {NAME}_box *box);

/* The box as (3, out_height, out_width) from 0 to 1, bilinear: lines lie `line` floats apart,
   channels `plane`.  isa: NULL for the fastest, or scalar, sse2, avx2, avx512, neon, simd128.
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

static mm_crop crop_of(const {NAME}_box *box)
{{
    return (mm_crop){{.pixels = box->pixels,
                     .height = box->height,
                     .width = box->width,
                     .line_bytes = box->line_bytes,
                     .left = box->left,
                     .top = box->top,
                     .right = box->right,
                     .bottom = box->bottom,
                     .out_height = box->out_height,
                     .out_width = box->out_width,
                     .filter = MM_FILTER_BILINEAR}};
}}

size_t {NAME}_bytes(const {NAME}_box *box)
{{
    const mm_crop crop = crop_of(box);
    return mm_resize_bytes(&crop);
}}

int {NAME}_run(const {NAME}_box *box, const char *isa, float *out, int64_t plane, int64_t line,
               void *workspace)
{{
    const mm_crop crop = crop_of(box);
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
