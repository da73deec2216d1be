"""Pages of results: found by key, so that new rows neither hide any nor show one twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from turso_hooks.errors import QueryError

T = TypeVar("T")

MOST_ON_A_PAGE = 10_000


@dataclass(frozen=True)
class Page(Sequence[T], Generic[T]):
    """Results in order, as a sequence, and where the next ones begin."""

    items: tuple[T, ...]
    next_cursor: str | None = None
    """To be given as `cursor` for what comes after; None if there is nothing more.

    A page may be shorter than was asked for and have one: then so many rows were looked at as one question may cost, or the
    server does not give more at once.
    """

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        """One of them, or some."""
        return self.items[index]

    def __len__(self) -> int:
        """How many there are on this page."""
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        """One after the other."""
        return iter(self.items)


def iter_pages(ask: Callable[..., Page[T]]) -> Iterator[Page[T]]:
    """All pages of a question, which takes a `cursor`."""
    page = ask(cursor=None)
    yield page
    while page.next_cursor is not None:
        page = ask(cursor=page.next_cursor)
        yield page


def checked_limit(limit: int) -> int:
    """The limit. Raises `QueryError` if it is none."""
    if not 1 <= limit <= MOST_ON_A_PAGE:
        raise QueryError(f"a page holds between 1 and {MOST_ON_A_PAGE:,} results, not {limit}; ask for several pages")
    return limit


_TIMELESS = "-"
"""The cursor of the place before all that has no time."""

_MOST = 2**63
"""Integers in a database are less than this."""


def cursor_of(*key: int | str | None) -> str:
    """A place in an order, as text: numbers, and at the end an id."""
    if key == (None, None):
        return _TIMELESS
    return "~".join("" if part is None else str(part) for part in key)


def json_cursor(cursor: str, parts: int) -> list[Any]:
    """The parts of a cursor that is JSON. Raises `QueryError` if it is none."""
    try:
        found = json.loads(cursor)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or len(found) != parts or type(found[0]) is not int or not all(map(_can_be_sent, found)):
        raise wrong_cursor(cursor)
    return found


def _can_be_sent(part: Any) -> bool:
    """Whether a database takes it, or it is a list, which whoever asked for one looks into."""
    if isinstance(part, str):
        return part.isprintable() or part.encode(errors="replace").decode() == part
    return isinstance(part, (list, float)) or (isinstance(part, int) and -_MOST <= part < _MOST)


def key_with_id_of(cursor: str) -> tuple[int | None, str | None]:
    """The number and the id of a cursor. Raises `QueryError` if it is none."""
    number, separator, row_id = cursor.partition("~")
    try:
        if separator:
            key = (int(number) if number else None, row_id)
            if _can_be_sent(key[0] or 0) and _can_be_sent(row_id):
                return key
    except ValueError:
        pass
    if cursor == _TIMELESS:
        return None, None
    raise wrong_cursor(cursor)


def wrong_cursor(cursor: str) -> QueryError:
    """The error for a cursor that is none, or another question's."""
    return QueryError(f"{cursor!r:.80} is no cursor of this question: give the next_cursor of a page of it")
