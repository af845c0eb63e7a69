"""The engine's own C, taken apart into what stands at the left margin, so that what a network does
not need can be left out.

This is no parser of C: it relies on what ``.ci/format`` and ``docs/extend`` ask of ``csrc``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

#: Lists of which the calls at the margin make something of each row: they always stay.
_LISTS = ("MM_OPERATORS", "MM_ACTIVATIONS")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_CALL = re.compile(r"([A-Z][A-Z0-9_]*)\(([^()]*)\)")
_FUNCTION = re.compile(r"(\w+)\(")
_MEMBER = re.compile(r"(?:->|\.)\s*\w+")
_FIELD = re.compile(r"\w+(?=[;,])")
_KERNEL = re.compile(r"(?:->|MM_FN\()\s*(\w+)")


@dataclass(frozen=True)
class Item:
    """One thing at the left margin, with the comment above it.

    Attributes:
        kind: ``directive``, ``define``, ``undef``, ``function``, ``prototype``, ``type``, ``data``
            or ``call`` (of a macro that makes functions).
        names: what it defines; a kernel ``->name``, as it is called.
        words: what it mentions, in the same writing.
    """

    kind: str
    text: str
    names: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()


def read_items(text: str) -> list[Item]:
    """The items of a file of ``csrc``, in order, without its guard and what it includes of ours."""
    items = []
    comment = ""
    for chunk in _chunks(text):
        if chunk.startswith("/*"):
            comment = "" if chunk.startswith("/* ---") else chunk
            continue
        if not chunk.startswith('#include "'):
            items.append(_item(chunk, comment))
        comment = ""
    guard = items[0].text if items else ""
    if re.search(r"(?m)^#ifndef MINIMESO_", guard):
        items = items[2:-1]
    return items


def _chunks(text: str) -> Iterator[str]:
    """Comments, directives and declarations at the left margin."""
    lines = iter(text.splitlines())
    for line in lines:
        chunk = [line]
        if not line.strip():
            continue
        if line.startswith("/*"):
            while "*/" not in chunk[-1]:
                chunk.append(next(lines))
            if not chunk[-1].rstrip().endswith("*/"):
                raise ValueError(f"a comment and code on one line: {chunk[-1]!r}")
        elif line.startswith("#"):
            while chunk[-1].endswith("\\") or _is_open(chunk):
                chunk.append(next(lines))
        else:
            while not _is_whole(chunk):
                chunk.append(next(lines))
        yield "\n".join(chunk)


def _is_open(lines: list[str]) -> bool:
    """Whether a comment goes on."""
    return lines[-1].rfind("/*") > lines[-1].rfind("*/")


def _is_whole(lines: list[str]) -> bool:
    last = lines[-1].partition("/*")[0].rstrip()
    if last.startswith("}"):
        return True
    if lines[0].startswith(("typedef struct {", "enum {", "struct ")) and "}" not in lines[0]:
        return False
    if len(lines) == 1 and _CALL.fullmatch(last):
        return True
    if last.endswith(";") and not any(line.endswith("{") for line in lines):
        return True
    return last.endswith((";", "}")) and not last.startswith((" ", "#"))


def _item(text: str, comment: str) -> Item:
    bare = _STRING.sub('""', _COMMENT.sub("", text))
    whole = f"{comment}\n{text}" if comment else text
    kind, names = _kind(bare)
    plain = _FIELD.sub("", bare) if kind == "type" else _MEMBER.sub("", bare)
    words = frozenset(re.findall(r"\w+", plain)) | {f"->{name}" for name in _KERNEL.findall(bare)}
    return Item(kind, whole, names, words)


def _kind(text: str) -> tuple[str, tuple[str, ...]]:
    head = text.partition("{")[0]
    if directive := re.match(r"#(define|undef) (\w+)", text):
        return directive[1], (directive[2],)
    if text.startswith("#"):
        return "directive", ()
    if call := _CALL.fullmatch(text.strip()):
        name, arguments = call[1], [argument.strip() for argument in call[2].split(",")]
        if name == "MM_RUN_EACH_LINE":
            return "call", (f"mm_run_{arguments[0]}",)
        return "call", () if name in _LISTS else tuple(f"->{a}" for a in arguments)
    if text.startswith("extern"):
        return "extern", ()
    if text.startswith(("enum", "_Static_assert")):
        return "type", ()
    if text.startswith(("typedef", "struct")):
        function = re.match(r"typedef [\w ]+?\*? ?\b(\w+)\(", text)
        found = function or re.search(r"(\w+);\s*$", text) or re.match(r"struct (\w+)", text)
        return "type", (found[1],) if found else ()
    if kernel := re.search(r"MM_FN\((\w+)\)\(", head):
        return "function", (f"->{kernel[1]}",)
    if "=" in head:
        return "data", tuple(re.findall(r"(\w+)(?:\[[^\]]*\])* =", head))
    name = _FUNCTION.search(head)
    return "function" if "{" in text else "prototype", (name[1],) if name else ()


def with_private_names(items: Sequence[Item], file: str) -> list[Item]:
    """The items of a source, where what is private to it has names that nothing else mentions."""
    own = {n for item in items if _is_private(item) for n in item.names if not n.startswith("->")}

    def renamed(names: Iterable[str]) -> Iterator[str]:
        return (f"{file}:{name}" if name in own else name for name in names)

    return [
        replace(item, names=tuple(renamed(item.names)), words=frozenset(renamed(item.words)))
        for item in items
    ]


def _is_private(item: Item) -> bool:
    return item.kind == "type" or bool(re.search(r"(?m)^static ", item.text))


def needed(
    items: Iterable[Item], words: Collection[str], without: Collection[str] = ()
) -> set[str]:
    """All names that can be reached from some words, without looking behind ``without``."""
    by_name: dict[str, list[Item]] = {}
    waiting = set(words)
    for item in items:
        if not item.names:
            waiting |= item.words if item.kind != "extern" else set()
        for name in item.names:
            by_name.setdefault(name, []).append(item)
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in reached or name in without:
            continue
        reached.add(name)
        for item in by_name.get(name, ()):
            if item.kind != "prototype":
                waiting |= item.words | set(item.names)
    return reached


def kept(items: Iterable[Item], reached: Collection[str]) -> list[Item]:
    """The items that define something of ``reached``, or nothing by name; all of them private to
    the file."""
    return [
        _private(item)
        for item in items
        if item.kind != "extern" and (not item.names or any(n in reached for n in item.names))
    ]


def _private(item: Item) -> Item:
    text = item.text
    if item.kind in ("function", "prototype", "data"):
        text = re.sub(r"(?m)^(?=(?!static|MM_INLINE)[a-z]\w* )", "static ", text, count=1)
    elif item.kind == "define":
        text = re.sub(r"(?m)^( +)(?=(void|mm_\w+_fn) mm_\w+_##)", r"\1static ", text)
    return replace(item, text=text)


def joined(items: Iterable[Item]) -> str:
    """Their text, without conditions around nothing."""
    text = "\n".join(item.text for item in items) + "\n"
    nothing = re.compile(r"(?m)^#if.*\n(?:#elif.*\n|#else.*\n)*#endif.*\n")
    while nothing.search(text):
        text = nothing.sub("", text)
    return text
