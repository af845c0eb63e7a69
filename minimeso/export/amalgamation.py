"""What a program needs of the engine, as the text of one C file.

The kernels stand in it once for each instruction set: they are templates, and nothing but the file
itself can be included.  (By itself, a file of 40 MB of weights would be read five times.)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from ..engine.bindings import ACTIVATION_NUMBERS, OP_NUMBERS
from ..engine.native import kernel_names
from ..engine.paths import sources
from .items import Item, joined, kept, needed, read_items, with_private_names

#: In the order in which they need each other; ``op_*.c`` come before those that end it.
_FIRST = ("kernels.c", "cpu.c", "one_thread.inc")
_LAST = ("ops.c", "lines.c", "bands.c", "program.c", "resize.c")
#: What stands in the file of an instruction set: the macro of its machines, the header of its
#: intrinsics, the target of its region.
_FACTS = (r"^#if (MM_\w+)", r"#include <(\w+intrin\.h|\w+_\w+\.h)>", r'target\("(.*)"\)')
_ROOTS = ("mm_isa_supported", "mm_isa_name", "mm_kernels_of")
#: kernels.h says which instruction sets a machine may have.
_AFTER = {
    "kernels.h": "#ifdef MINIMESO_SCALAR\n#undef MM_X86\n#undef MM_ARM64\n#undef MM_WASM\n#endif\n"
}
_PASTE = """\
#define MM_PASTE2(name, suffix) name##__##suffix
#define MM_PASTE(name, suffix) MM_PASTE2(name, suffix)
#define MM_FN(name) MM_PASTE(name, MM_SUFFIX)
"""
_NO_CHECK = """\
/* The program was checked when it was exported. */
static int mm_check_nothing(const mm_operands *o)
{
    (void)o;
    return 1;
}
"""
#: Above the kernels, in which floats are floats and nothing is contracted to fused multiply-adds.
_ARITHMETIC = """\
#if defined(__FLT_EVAL_METHOD__) && (__FLT_EVAL_METHOD__ == 1 || __FLT_EVAL_METHOD__ == 2)
#error "floats must be floats: -msse2 -mfpmath=sse; on s390x -fexcess-precision=fast"
#endif
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || \\
    defined(__NO_SIGNED_ZEROS__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "arithmetic must be as written: no -ffast-math, -Ofast, nor what they are made of"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#pragma clang diagnostic ignored "-Wunused-function" /* of inline ones, too: a few are for others */
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif
"""


class Needs(NamedTuple):
    """What a program uses of the engine.

    Attributes:
        operators, activations: their names in C, ``CONV`` and ``RELU``.
        without: kernels that no step calls, although its operator might.
        roots: functions that it calls.
    """

    operators: Collection[str]
    activations: Collection[str]
    without: Collection[str] = ()
    roots: Collection[str] = ("mm_run", "mm_check_nothing")


class Vectors(NamedTuple):
    """An instruction set: its suffix, the macro of its machines, the header of its intrinsics and
    the target of its region, where it has these."""

    suffix: str
    machines: str
    header: str
    target: str


def amalgamate(needs: Needs, program: str) -> str:
    """A C file: the engine as ``needs`` says, then ``program``, which may use it."""
    files = sources()
    texts = {name: text for name, text in files.items() if "/" not in name}
    every = _vectors(texts)
    simd = {v: read_items(files[f"simd/{v.suffix}.h"]) for v in every}
    texts["minimeso.h"] = _all_numbers(texts["minimeso.h"])
    texts["operators.h"], roots = _operators(texts["operators.h"], needs.operators)
    texts["activations.h"], names = _activations(texts["activations.h"], needs.activations)
    texts["kernels.h"] = _all_kernels(texts["kernels.h"])
    operators = sorted(name for name in texts if re.fullmatch(r"op_\w+\.c", name))
    units, templates = (*_FIRST, *operators, *_LAST), _included("kernels.inc", texts)
    headers = _headers((*units, *templates), texts)
    parts = {name: read_items(texts[name]) for name in (*headers, *units, *templates)}
    parts |= {name: with_private_names(parts[name], name) for name in units}
    items = [item for part in (*parts.values(), *simd.values()) for item in part]
    roots |= names | {f"mm_{kind}_fn" for kind, _ in _rows(texts["kernels.h"], "MM_KERNELS")}
    reached = needed(
        items, {*_ROOTS, *needs.roots, *roots}, {f"->{name}" for name in needs.without}
    )
    called = {name for name in ACTIVATION_NUMBERS if f"->{name}" in reached}
    if missing := {name.upper() for name in called} - set(needs.activations):
        every_one = {*needs.activations, *missing}  # an operator calls them by their name
        return amalgamate(needs._replace(activations=every_one), program)
    parts = {name: kept(part, reached) for name, part in parts.items()}
    simd = {vectors: kept(part, reached) for vectors, part in simd.items()}
    kernels_of = [parts[name] for name in templates]
    used = {f"->{name.lower()}" for name in needs.activations} | reached
    kernels = [name for name in kernel_names() if f"->{name}" in used]
    return "\n".join(
        (
            "#include <math.h>\n#include <string.h>\n",
            *(_section(name, parts[name]) + _AFTER.get(name, "") for name in headers),
            _ARITHMETIC + _PASTE + _renames([*simd.values(), *kernels_of]),
            *(_kernels(vectors, [simd[vectors], *kernels_of], kernels) for vectors in every),
            *(_section(name, parts[name]) for name in units),
            _NO_CHECK if needs.operators else "",
            program,
        )
    )


def _included(name: str, texts: Mapping[str, str]) -> list[str]:
    """The files of ours that a file includes."""
    found = re.findall(r'^#include "(\w+\.(?:h|inc))"', texts[name], re.MULTILINE)
    return [other for other in found if other in texts]


def _headers(files: Iterable[str], texts: Mapping[str, str]) -> list[str]:
    """The headers that files ask for, each behind those that it asks for itself."""
    found: dict[str, None] = {}
    for name in files:
        for header in _included(name, texts):
            found.update(dict.fromkeys(_headers([header], texts)))
            found[header] = None
    return list(found)


def _section(name: str, items: Iterable[Item]) -> str:
    text = joined(items)
    return f"/* --- {name} --- */\n{text}" if text.strip() else ""


# --- lists with fewer rows ---------------------------------------------------------------


def _rows(text: str, macro: str) -> list[list[str]]:
    """The rows of a list of the engine."""
    start = text.index(f"#define {macro}(")
    body = re.split(r"(?<!\\)\n", text[start:], maxsplit=1)[0]
    return [re.split(r",[\s\\]+", row) for row in re.findall(r"(?m)^ +X\(([^()]*)\)", body)]


def _with_rows(text: str, macro: str, rows: Sequence[Sequence[str]]) -> str:
    """The same list with other rows; a macro may have no line of its own."""
    start = text.index(f"#define {macro}(")
    head = text[start:].split(" ", 2)[1]
    if macro == "MM_ACTIVATION_LIST":
        head = f"{macro}(X, with)"
    end = re.compile(r"(?<!\\)\n").search(text, start)
    assert end is not None
    body = "".join(f" \\\n    X({', '.join(row)})" for row in rows)
    return f"{text[:start]}#define {head}{body}{text[end.start() :]}"


def _all_numbers(text: str) -> str:
    """The border, where an operator or activation has the number that it has in the engine."""
    for call, names, prefix in (
        ("MM_OPERATORS(MM_OP_NUMBER)", OP_NUMBERS, "MM_OP_"),
        ("MM_ACTIVATIONS(MM_ACTIVATION_NUMBER)", ACTIVATION_NUMBERS, "MM_"),
    ):
        text = text.replace(call, "".join(f"{prefix}{name.upper()}, " for name in names))
    return text


def _operators(text: str, names: Collection[str]) -> tuple[str, set[str]]:
    """The list of operators, and the functions that its rows name."""
    rows = [row for row in _rows(text, "MM_OPERATORS") if row[0] in names]
    for row in rows:
        row[5] = "nothing"
    kinds = dict(enumerate(("lines", "banded", "check", "measure", "run"), start=3))
    roots = {f"mm_{kind}_{row[column]}" for row in rows for column, kind in kinds.items()}
    return _with_rows(text, "MM_OPERATORS", rows), roots


def _activations(text: str, names: Collection[str]) -> tuple[str, set[str]]:
    """The list of activations, and what its rows are put together to."""
    rows = [row for row in _rows(text, "MM_ACTIVATION_LIST") if row[1] in names]
    roots = {f"v_{name}" for _, _, name, _, _ in rows}
    roots |= {n for *_, store, shape in rows for n in (f"MM_STORE_{store}", f"MM_SHAPE_{shape}")}
    return _with_rows(text, "MM_ACTIVATION_LIST", rows), roots


def _all_kernels(text: str) -> str:
    """The table has all its fields, those of the activations that are left out, too."""
    classes = {name: kind for kind, name in _rows(text, "MM_KERNELS")}
    rows = [[classes.get(name, "unary"), name] for name in kernel_names()]
    return _with_rows(text, "MM_KERNELS", rows)


# --- instruction sets ------------------------------------------------------------------------


def _vectors(texts: Mapping[str, str]) -> list[Vectors]:
    """What the files of the instruction sets say of themselves, the plainest first."""
    found = []
    for name, text in texts.items():
        if suffix := re.fullmatch(r"kernels_(\w+)\.c", name):
            facts = (re.search(fact, text, re.MULTILINE) for fact in _FACTS)
            found.append(Vectors(suffix[1], *(fact[1] if fact else "" for fact in facts)))
    return sorted(found, key=lambda vectors: (vectors.machines != "", vectors.suffix))


def _kernels(vectors: Vectors, parts: Sequence[Sequence[Item]], names: Iterable[str]) -> str:
    """The kernels of an instruction set, between the marks of its region."""
    push = pop = ""
    if vectors.target:
        target = f'target("{vectors.target}")'
        push = (
            "#if defined(__clang__)\n"
            f"#pragma clang attribute push(__attribute__(({target})), apply_to = function)\n"
            f"#elif defined(__GNUC__)\n#pragma GCC push_options\n#pragma GCC {target}\n#endif\n"
        )
        pop = (
            "#if defined(__clang__)\n#pragma clang attribute pop\n"
            "#elif defined(__GNUC__)\n#pragma GCC pop_options\n#endif\n"
        )
    fields = "".join(f"    .{name} = MM_FN({name}),\n" for name in names)
    macros = {n for part in parts for item in part if item.kind == "define" for n in item.names}
    return "".join(
        (
            f"/* --- kernels: {vectors.suffix} --- */\n",
            f"#if {vectors.machines}\n" if vectors.machines else "",
            f"#include <{vectors.header}>\n" if vectors.header else "",
            f"{push}#define MM_SUFFIX {vectors.suffix}\n",
            *(joined(part) for part in parts),
            f"static const mm_kernels mm_kernels_{vectors.suffix} = {{\n{fields}}};\n",
            *(f"#undef {name}\n" for name in (*sorted(macros), "MM_SUFFIX")),
            pop,
            "#endif\n" if vectors.machines else "",
        )
    )


def _renames(parts: Iterable[Iterable[Item]]) -> str:
    """Functions and types of the templates get the suffix of the instruction set."""
    names = {
        name
        for part in parts
        for item in part
        if item.kind in ("function", "type")
        for name in item.names
        if not name.startswith("->")
    }
    return "".join(f"#define {name} MM_FN({name})\n" for name in sorted(names))
