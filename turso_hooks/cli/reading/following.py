"""What is being logged, as it comes."""

from __future__ import annotations

import time
from collections.abc import Iterator

from turso_hooks.cli.text import remark
from turso_hooks.errors import DatabaseUnavailable
from turso_hooks.query import Filters, Reader, Tail

_LOOK_EVERY_S = 1.0
_MOST_AT_ONCE = 10_000


def follow(reader: Reader, session_id: str | None, cursor: str, filters: Filters) -> Iterator[Tail]:
    """What is logged from a cursor on, asked for once a second, for ever. While there is no answer, that is said."""
    while True:
        time.sleep(_LOOK_EVERY_S)  # a database gives no event to wait for
        try:
            tail = reader.tail(session_id, limit=_MOST_AT_ONCE, cursor=cursor, **filters)
        except DatabaseUnavailable as error:
            remark(str(error))
        else:
            cursor = tail.cursor
            yield tail
