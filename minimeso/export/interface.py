"""The functions and constants that an exported network offers, and the code behind them."""

from __future__ import annotations

import math
from typing import NamedTuple

from .. import __version__
from ..engine import Model

#: The start of the arena, where ``init`` leaves what it chose.
STATE_BYTES = 64


class Array(NamedTuple):
    """An input or output: its name in the network, and as a parameter in C, its type and shape."""

    given: str
    name: str
    type: str
    shape: tuple[int, ...]

    @property
    def values(self) -> int:
        """How many values."""
        return math.prod(self.shape)

    @property
    def size(self) -> str:
        """Its shape as text."""
        return " x ".join(map(str, self.shape))

    @property
    def meaning(self) -> str:
        """What stands in it, as a comment says it."""
        if self.type == "uint8_t":
            return f"{self.size} {self.type}: lines, pixels, RGB from 0 to 255"
        if len(self.shape) == 3:
            return f"{self.size} {self.type}: channels, lines, pixels"
        return f"{self.size} {self.type}"


class Interface(NamedTuple):
    """What a caller has to know.

    Attributes:
        prefix: of all names.
        model: the network.
        inputs, outputs: the caller's arrays, in order.
        workspace_bytes: memory of a run.
    """

    prefix: str
    model: Model
    inputs: list[Array]
    outputs: list[Array]
    workspace_bytes: int

    @property
    def arena_bytes(self) -> int:
        """Memory that the caller provides."""
        return STATE_BYTES + self.workspace_bytes

    @property
    def is_detector(self) -> bool:
        """Whether its one output is a ``p_fake`` that thresholds say something about."""
        return self.model.is_detector and [array.values for array in self.outputs] == [1]

    @property
    def has_example(self) -> bool:
        """Whether it judges a picture of bytes."""
        return self.is_detector and [array.type for array in self.inputs] == ["uint8_t"]

    @property
    def has_floats(self) -> bool:
        """Whether it takes a picture that could come as bytes, but comes as floats."""
        return [(a.type, a.shape[0], len(a.shape)) for a in self.inputs] == [("float", 3, 3)]

    @property
    def parameters(self) -> str:
        """Of ``run``."""
        given = [f"const {array.type} *{array.name}" for array in self.inputs]
        made = [f"{array.type} *{array.name}" for array in self.outputs]
        return ", ".join(["void *arena", *given, *made])


def heading(public: Interface) -> str:
    """The comment that a source begins with."""
    return (
        f"/* {public.prefix}.c - the network {_comment(public.model.name)}, made by minimeso "
        f"{__version__}; do not edit.\n   See {public.prefix}.h.  The engine in it: MIT licence, "
        "copyright the minimeso authors. */\n"
    )


def header(public: Interface) -> str:
    """The header."""
    name, upper = public.prefix, public.prefix.upper()
    shapes = "".join(
        f"   {array.name}: {array.meaning}\n" for array in (*public.inputs, *public.outputs)
    )
    constants = [
        f"#define {upper}_ARENA_BYTES {public.arena_bytes} /* 64-byte aligned */",
        *(
            f"#define {upper}_{array.name.upper()}_COUNT {array.values}"
            for array in (*public.inputs, *public.outputs)
        ),
    ]
    if public.is_detector:
        limits = public.model.thresholds or {}
        constants += [
            "/* at most the first: real; at least the second: fake; between them: uncertain */",
            f"#define {upper}_REAL {float(limits['real'])!r}f",
            f"#define {upper}_FAKE {float(limits['fake'])!r}f",
        ]
    model = _comment(public.model.name)
    floats = "\n   A picture of floats is RGB from 0 to 1.\n" if public.has_floats else "\n"
    return f"""\
/* {name}.h - the network {model}, made by minimeso {__version__}; do not edit.

{shapes}
   The last index is the next element in memory, and the top left pixel the first.{floats}
   Nothing is allocated, printed, read from the environment or kept but in the arena, which the
   caller provides: one for each thread that runs the network.  Compile with -O1 or
   more; -DMINIMESO_SCALAR leaves SIMD out, which is smaller. */
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

{chr(10).join(constants)}

#define {upper}_OK 0
#define {upper}_NOT_ALIGNED (-1) /* the arena is NULL, or begins at no multiple of 64 bytes */
#define {upper}_NO_ISA (-2)      /* this machine or build lacks the instruction set */
#define {upper}_NOT_READY (-3)   /* {name}_init has not seen this arena */

/* Once for each arena.  isa: NULL for the fastest that this machine has, or scalar, sse2, avx2,
   avx512, neon, simd128. */
int {name}_init(void *arena, const char *isa);

/* Any number of times; each output has the bits that minimeso computes in Python with that
   instruction set, but for those of a NaN, which compilers choose. */
int {name}_run({public.parameters});

#ifdef __cplusplus
}}
#endif

#endif
"""


def functions(public: Interface) -> str:
    """What the header declares."""
    name, upper = public.prefix, public.prefix.upper()
    inputs = ", ".join(array.name for array in public.inputs)
    outputs = ", ".join(array.name for array in public.outputs)
    return f"""\
/* --- what {name}.h declares --- */
#include "{name}.h"

typedef struct {{
    uint64_t ready;
    int isa;
}} state_t;

#define STATE_BYTES {STATE_BYTES}
#define READY UINT64_C(0x6f73656d696e696d)

_Static_assert(sizeof(state_t) <= STATE_BYTES, "the state has its place");

int {name}_init(void *arena, const char *isa)
{{
    state_t *state = arena;
    if (!arena || (uintptr_t)arena % 64)
        return {upper}_NOT_ALIGNED;
    for (int i = MM_ISA_COUNT - 1; i >= 0; i--)
        if (mm_kernels_of(i) && mm_isa_supported(i) && (!isa || !strcmp(isa, mm_isa_name(i)))) {{
            state->ready = READY;
            state->isa = i;
            return {upper}_OK;
        }}
    return {upper}_NO_ISA;
}}

int {name}_run({public.parameters})
{{
    const state_t *state = arena;
    const void *const inputs[] = {{{inputs}}};
    float *const outputs[] = {{{outputs}}};
    if (!arena || (uintptr_t)arena % 64)
        return {upper}_NOT_ALIGNED;
    if (state->ready != READY)
        return {upper}_NOT_READY;
    return mm_run(&program, state->isa, NULL, inputs, outputs, 1, (char *)arena + STATE_BYTES, 1,
                  NULL);
}}
"""


def _comment(text: str) -> str:
    """A text that ends no comment."""
    return "".join(c if c.isprintable() and c not in "*/\\" else "?" for c in text)
