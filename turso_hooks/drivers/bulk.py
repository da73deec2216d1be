"""Many rows in few statements: JSON where it holds them exactly, one statement a row where it does not. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from turso_hooks.drivers.database import Bulk, Statement

_INT64 = range(-(2**63), 2**63)
_SIGNIFICANT_BITS = 53
_LARGEST_SHIFT = 62

_encode_json = msgspec.json.Encoder().encode


class ValueNotSendable(Exception):
    """An argument has no form in which a server could take it; the message says why."""


def runs_of(count: int, most: int) -> Iterator[tuple[int, int]]:
    """Begins and ends of runs that make up `count`: each `most` long or, at last, a lower power of two.

    So there are few lengths, for each of which a statement is prepared.
    """
    begin = 0
    while begin < count:
        length = min(most, 1 << (count - begin).bit_length() - 1)
        yield begin, begin + length
        begin += length


def json_text(value: Any) -> bytes:
    """JSON in UTF-8. Raises `ValueNotSendable` for text that is no Unicode."""
    try:
        return _encode_json(value)
    except UnicodeEncodeError as error:
        raise ValueNotSendable(f"text with lone surrogates cannot be sent: {error}") from None


def checked(arguments: Sequence[Any]) -> Sequence[Any]:
    """The arguments. Raises `ValueNotSendable` for text that is no Unicode, over which a server may close the connection."""
    for value in arguments:
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise ValueNotSendable(f"text with lone surrogates cannot be sent: {error}") from None
    return arguments


def few_statements(statements: Iterable[Statement]) -> Iterator[tuple[str, Sequence[Any]]]:
    """SQL and arguments, as few as possible, in the order of the rows. Raises `ValueNotSendable`."""
    for statement in statements:
        if statement.bulk is None or (len(statement.rows) == 1 and not statement.bulk.reals):
            yield from ((statement.sql, row) for row in statement.rows)
        else:
            yield from _together(statement, statement.bulk)


def _together(statement: Statement, bulk: Bulk) -> Iterator[tuple[str, Sequence[Any]]]:
    """Runs of rows that JSON holds exactly, and between them, one by one, those that it does not."""
    run: list[list[Any]] = []
    for row in statement.rows:
        in_json = _in_json(row, bulk.reals)
        if in_json is not None:
            run.append(in_json)
            continue
        if run:
            yield bulk.sql, (json_text(run).decode(),)
            run = []
        yield statement.sql, row
    if run:
        yield bulk.sql, (json_text(run).decode(),)


def _in_json(row: Sequence[Any], reals: frozenset[int]) -> list[Any] | None:
    """A row as JSON has it exactly; None if it has not."""
    found = [_real(value) if position in reals else value for position, value in enumerate(row)]
    return None if any(_is_inexact(value) for value in found) else found


def _is_inexact(value: Any) -> bool:
    kind = type(value)
    if kind is str:
        return "\0" in value  # json_extract ends there
    if kind is int:
        return value not in _INT64
    return value is not None and kind is not list


def _real(value: Any) -> Any:
    """The three integers for a number of a column of floats; what cannot be said so, as it is, which is inexact."""
    if type(value) is int:
        return [value, 1, 1] if value.bit_length() <= _SIGNIFICANT_BITS else b""
    return _quotients(value) if type(value) is float else value if value is None else b""


def _quotients(value: float) -> list[int] | float:
    """64-bit integers n, d, e, each of them a float too, with n / d / e exactly `value`; `value` if there are none."""
    if not math.isfinite(value) or (value == 0 and math.copysign(1, value) < 0):
        return value
    numerator, denominator = value.as_integer_ratio()
    shift = denominator.bit_length() - 1
    if numerator.bit_length() > _SIGNIFICANT_BITS or shift > 2 * _LARGEST_SHIFT:
        return value
    first = min(shift, _LARGEST_SHIFT)
    return [numerator, 1 << first, 1 << (shift - first)]
