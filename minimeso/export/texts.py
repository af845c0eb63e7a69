"""The example and the page that go with an exported network."""

from __future__ import annotations

from .interface import Interface


def example(public: Interface) -> str:
    """A program that judges a face that is already cut."""
    name, upper = public.prefix, public.prefix.upper()
    (picture,) = public.inputs
    height, width, _ = picture.shape
    return f"""\
/* {name}_example.c - judges a face: {height} lines of {width} RGB pixels, a byte
   a colour, from a file or, without one, from standard input.
   Exit status: 0 judged, 2 no such picture. */
#include <stdio.h>

#include "{name}.h"

static _Alignas(64) unsigned char arena[{upper}_ARENA_BYTES];
static uint8_t picture[{upper}_{picture.name.upper()}_COUNT];

int main(int argc, char **argv)
{{
    const char *isa = argc > 2 ? argv[2] : NULL;
    float p_fake = 0.0f;
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : stdin;
    if (!file) {{
        perror(argv[1]);
        return 2;
    }}
    if (fread(picture, 1, sizeof picture, file) != sizeof picture || fgetc(file) != EOF) {{
        fprintf(stderr, "%s: not {height} lines of {width} RGB pixels, %lu bytes\\n",
                argc > 1 ? argv[1] : "stdin", (unsigned long)sizeof picture);
        return 2;
    }}
    int status = {name}_init(arena, isa);
    if (status == {upper}_OK)
        status = {name}_run(arena, picture, &p_fake);
    if (status != {upper}_OK) {{
        fprintf(stderr, "status %d, see {name}.h\\n", status);
        return 2;
    }}
    printf("%.9g %s\\n", (double)p_fake,
           p_fake >= {upper}_FAKE   ? "fake"
           : p_fake <= {upper}_REAL ? "real"
                     : "uncertain");
    return 0;
}}
"""


def readme(public: Interface) -> str:
    """How to compile and use it."""
    name = public.prefix
    page = (
        f"# {name}\n\nPlain C11 that needs no library but that of C; the same bits as in Python. "
        f"Include `{name}.h`, which says how to call it, compile `{name}.c` with the rest, and "
        f"link with `-lm`. It wants {public.arena_bytes:,} bytes of memory for each thread.\n"
    )
    if not public.has_example:
        return page
    height, width, _ = public.inputs[0].shape
    sources = f"{name}_example.c {name}.c -o judge -lm"
    return page + (
        "\n```console\n"
        f"$ cc -std=c11 -O2 {sources}\n"
        f"$ convert face.png -resize {width}x{height}! -depth 8 rgb:face.rgb\n"
        "$ ./judge face.rgb\n"
        "```\n\nFor other machines, and smaller:\n\n```console\n"
        f"$ aarch64-linux-gnu-gcc -std=c11 -O2 {sources}\n"
        f"$ arm-linux-gnueabihf-gcc -std=c11 -Os {sources}\n"
        f"$ cc -std=c11 -Os -DMINIMESO_SCALAR {sources}\n"
        f"$ cc -m32 -msse2 -mfpmath=sse -std=c11 -O2 {sources}\n"
        "```\n\nA face is a square as large around it as in the crops that it was trained on: "
        "`minimeso info` names the side, by distances between eyes and mouth.\n"
    )
