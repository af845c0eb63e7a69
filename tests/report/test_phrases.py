"""Numbers, times and text as a page shows them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimeso.report.phrases import clock, escaped, percent


@given(st.text())
def test_escaped_text_is_harmless_and_printable(text: str) -> None:
    safe = escaped(text)
    assert not set("<>\"'") & set(safe)
    assert all(c.isprintable() or c == "\N{NO-BREAK SPACE}" for c in safe)


@pytest.mark.parametrize(
    ("p", "text"),
    [(0, "0 %"), (1, "1e2 %"), (0.8, "80 %"), (0.861, "86.1 %"), (1e-9, "below 0.1 %"),
     (1 - 1e-9, "above 99.9 %"), (0.1 + 0.2, "30 %")],
)  # fmt: skip
def test_percent(p: float, text: str) -> None:
    assert percent(p).replace("\xa0", " ") == text.replace("1e2", "100")


@pytest.mark.parametrize(
    ("t", "text"), [(0, "0:00.0"), (59.96, "1:00.0"), (4.24, "0:04.2"), (3723.4, "1:02:03.4")]
)
def test_clock(t: float, text: str) -> None:
    assert clock(t) == text
