"""Many rows in few statements, exactly."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turso_hooks.drivers import Bulk, Statement
from turso_hooks.drivers.bulk import ValueNotSendable, few_statements

BULK = Bulk("bulk", frozenset({2}))
VALUES = st.none() | st.text() | st.integers(-(2**63), 2**63 - 1) | st.binary()


def sent(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """The rows that statements say, whichever way they go."""
    found: list[tuple[object, ...]] = []
    for sql, arguments in few_statements([Statement("one", rows, BULK)]):
        if sql == "one":
            found.append(tuple(arguments))
            continue
        (text,) = arguments
        for row in json.loads(text):
            quotients = row[2]
            if quotients is not None:
                n, d, e = quotients
                assert all(-(2**63) <= part < 2**63 and float(part) == part for part in quotients)
                row[2] = n * 1.0 / d / e
                assert Fraction(n, d * e) == Fraction(row[2])
            found.append(tuple(row))
    return found


@given(st.lists(st.tuples(VALUES, VALUES, st.none() | st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)), max_size=8))
def test_every_row_arrives_exactly_and_in_order(rows: list[tuple[object, ...]]) -> None:
    assert sent(rows) == rows


def test_text_that_is_no_unicode_is_refused_at_once() -> None:
    with pytest.raises(ValueNotSendable, match="lone surrogates"):
        sent([("a\ud800", 1, 0.5)] * 2)


@pytest.mark.parametrize("value", [0.0, 0.399506, 1 / 3, 5, -2.5, 1e-12, 3e-06 * 123, 2.0**52, 0.1 + 0.2])
def test_what_costs_go_by_goes_together(value: float) -> None:
    assert [sql for sql, _ in few_statements([Statement("one", [("a", 1, value)] * 3, BULK)])] == ["bulk"]


@pytest.mark.parametrize(
    "row", [("a\0b", 1, 0.5), ("a", 2**63, 0.5), (b"x", 1, 0.5), ("a", 0.5, 0.5), ("a", 1, 1e300), ("a", 1, "x")]
)
def test_what_json_does_not_hold_is_bound_between_the_others(row: tuple[object, ...]) -> None:
    plain = ("a", 1, 0.5)
    said = [sql for sql, _ in few_statements([Statement("one", [plain, plain, row, plain], BULK)])]
    assert said == ["bulk", "one", "bulk"]


def test_a_single_row_is_bound_unless_a_float_may_be_in_it() -> None:
    """Turso's server does not read every bound float exactly."""
    row = ("a", 1, 0.5)
    assert list(few_statements([Statement("one", [row], Bulk("bulk"))])) == [("one", row)]
    assert [sql for sql, _ in few_statements([Statement("one", [row], BULK)])] == ["bulk"]
