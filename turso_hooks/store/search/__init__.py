"""Full-text search: what is in the index, and the index itself, where the engine has FTS5.

`searched` says which rows are in it and what of them, `words` as which words, `keys` under which numbers. `index` makes it and
brings it up to date.
"""

from __future__ import annotations

from turso_hooks.store.search.index import ADDED_AT_ONCE, SearchIndex, is_indexed
from turso_hooks.store.search.keys import KIND, milliseconds_of_key, smallest_key
from turso_hooks.store.search.searched import (
    MOST_OUTPUT_CHARS,
    MOST_TEXT_CHARS,
    SEARCHED,
    SearchedTable,
    output_is_elsewhere,
)
from turso_hooks.store.search.words import CJK_RANGES

__all__ = [
    "ADDED_AT_ONCE",
    "CJK_RANGES",
    "KIND",
    "MOST_OUTPUT_CHARS",
    "MOST_TEXT_CHARS",
    "SEARCHED",
    "SearchIndex",
    "SearchedTable",
    "is_indexed",
    "milliseconds_of_key",
    "output_is_elsewhere",
    "smallest_key",
]
