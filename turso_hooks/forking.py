"""What stands still while the process forks, in one order for the whole package, and what a child does first.

A forked child has one thread and a copy of all else: a lock that another thread held stays locked in it for ever, and so does
Python's own lock of a module that another thread was importing. So the locks that matter are taken before a fork and let go of
on both sides of it; a fork waits for whoever holds one, which is never longer than an import, a call of SQLite's or an append.

The order: whoever holds a lock may at any moment be made to run somebody's `__del__`, which may log to a file or to us, and so
take the lock of `logging` or of a writer. Python calls what was registered last first; so all of this is registered after
`logging`, and writers' locks come after those of databases. An import may need any lock, and comes before all others.
"""

from __future__ import annotations

import logging  # noqa: F401  # what it does at a fork is registered by this, before ours
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

DATABASES, WRITERS = range(2)
"""Ranks: what is taken first has the lowest."""


class _Held(NamedTuple):
    take: Callable[[], object]
    let_go_in_parent: Callable[[], object]
    let_go_in_child: Callable[[], object]


_held: dict[int, _Held] = {}
_imports = threading.RLock()
_is_waited_for: list[bool] = []
"""Not empty once forks wait for imports."""
_held_imports: list[bool] = []
"""Not empty while one does: it may have begun before that was registered."""


def hold(
    rank: int, take: Callable[[], object], let_go_in_parent: Callable[[], object], let_go_in_child: Callable[[], object]
) -> None:
    """Have something taken before every fork, and let go of after it, in parent and child."""
    _held[rank] = _Held(take, let_go_in_parent, let_go_in_child)


def in_child(begin_anew: Callable[[], object]) -> None:
    """Have something called in every forked child, after all locks are free, in the order of these calls."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=begin_anew)


@contextmanager
def importing() -> Iterator[None]:
    """Around an import of what may not be there yet, by a thread that is not the host's own."""
    with _imports:
        if not _is_waited_for and hasattr(os, "register_at_fork"):
            _is_waited_for.append(True)
            os.register_at_fork(before=_take_imports, after_in_parent=_let_imports_go, after_in_child=_renew_imports)
        yield


def _take_imports() -> None:
    _imports.acquire()
    _held_imports.append(True)


def _let_imports_go() -> None:
    if _held_imports:
        _held_imports.pop()
        _imports.release()


def _renew_imports() -> None:
    """In a child: whoever held it may not be here, if the fork had begun before that was registered."""
    global _imports  # noqa: PLW0603  # it stands for the process
    _held_imports.clear()
    _imports = threading.RLock()


def _take_all() -> None:
    for _, held in sorted(_held.items()):
        held.take()


def _let_go_in_parent() -> None:
    for _, held in sorted(_held.items(), reverse=True):
        held.let_go_in_parent()


def _let_go_in_child() -> None:
    for _, held in sorted(_held.items(), reverse=True):
        held.let_go_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take_all, after_in_parent=_let_go_in_parent, after_in_child=_let_go_in_child)
