"""Search keys: integers that sort as time does, and say of which table their row is. Pure.

The second since 1970 comes first, then a number that tells the rows of one second apart, then the kind of table.
"""

from __future__ import annotations

from turso_hooks.store.search.searched import SearchedTable

_SECOND_BITS, _NUMBER_BITS, _KIND_BITS = 33, 27, 3
_KEY_BITS = _NUMBER_BITS + _KIND_BITS
KIND = 2**_KIND_BITS - 1
"""The bits of a key that say of which table its row is."""

WITHOUT_TEXT = 4
"""The bit of a key whose row has a key, but nothing in the index."""


def second_of(row: str) -> str:
    """SQL: the second of a row's time, as its key has it; times before 1970 and after 2242 are cut."""
    return f"max(0, min({2**_SECOND_BITS - 1}, coalesce({row}.occurred_ms, 0) / 1000))"


def smallest_key(occurred_ms: int) -> int:
    """The smallest key of anything that happened in the second of `occurred_ms` or later."""
    second = max(0, min((1 << _SECOND_BITS) - 1, occurred_ms // 1000))
    return second << _KEY_BITS


def milliseconds_of_key(key: int) -> int:
    """When what has a key happened: the beginning of that second, in milliseconds since 1970."""
    return (key >> _KEY_BITS) * 1000


def new_key(searched: SearchedTable, second: str, number: str, kind: str) -> str:
    """SQL: the `number`-th new key of a second, counted on from those that are taken, or were and are in the index still."""
    here = f"BETWEEN {second} << {_KEY_BITS} AND (({second} + 1) << {_KEY_BITS}) - 1"
    of_row = searched.condition.format(row=searched.table)
    keys = (
        f"SELECT max(search_key) FROM {searched.table} WHERE search_key {here} AND {of_row}",
        f"SELECT max(key) FROM search_removed WHERE key {here}",
    )
    taken = ", ".join(f"coalesce(({each}) >> {_KIND_BITS} & {2**_NUMBER_BITS - 1}, 0)" for each in keys)
    return f"({second} << {_KEY_BITS}) + ((max({taken}) + {number}) << {_KIND_BITS}) + {kind}"
