"""What was not kept, or not kept as it was, by reason: counted in this process, told to the database through the journal.

Reasons: `dropped` (a redactor said so), `redactor_failed`, `unencodable`, `journal_full`, `journal_unwritable`, `journal_torn`
(the disk took a part of it), `plugin_failed` (another plugin's hook raised), `tally_refused` (the journal did not take counts
when they were to be told); the event is kept but not as it was, or not as was asked for: `rewritten` (values without an
encoding are marked), `cut`, `not_synced` (not forced to the disk); found while shipping: `damaged` (stretches of the journal),
`dead_letter`.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress

import msgspec

from turso_hooks.errors import JournalError, JournalUnsynced

log = logging.getLogger("turso_hooks")

REFUSED = frozenset({"journal_full", "journal_unwritable", "tally_refused"})
"""Counts of what the journal did not take: each used up a number."""

KEPT_OTHERWISE = frozenset({"rewritten", "cut", "not_synced"})
"""Counts of events that are kept, but not as they were or not as was asked for."""

NO_EVENTS = frozenset({"plugin_failed", "tally_refused", "dead_letter", "dead_letter_retried", "dead_letter_discarded"})
"""Counts that do not mean that an event is missing."""

_FOLD_AT = 1000
"""How many counts may be outstanding before they are summed up."""

_TALLY_TYPE = "$tally"
_TALLY_MARK = _TALLY_TYPE.encode()


class _Tally(msgspec.Struct, tag_field="type", tag=_TALLY_TYPE):
    counts: dict[str, int]


_decode_tally = msgspec.msgpack.Decoder(_Tally).decode
_warned: set[str] = set()


class Counts:
    """A counter that any thread, signal handler or `__del__` may add to: adding is one append to a deque.

    Forked children begin at nothing (`begin_anew`): what came before is their parent's to tell.
    """

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget everything."""
        self._outstanding: deque[tuple[str, int]] = deque()
        self._total: Counter[str] = Counter()
        self._told: Counter[str] = Counter()
        self._is_folding = False
        self.telling = threading.RLock()
        """Held while counts are told, so that no two threads tell the same ones."""

    def add(self, reason: str, number: int = 1) -> None:
        """Count `number` more for `reason`."""
        self._outstanding.append((reason, number))
        if len(self._outstanding) > _FOLD_AT:
            self._fold()

    def total(self) -> Counter[str]:
        """All counts of this process."""
        self._fold()
        return Counter(self._total)

    def untold(self) -> Counter[str]:
        """What has been counted since the last `mark_told`."""
        return self.total() - self._told

    def mark_told(self, told: Counter[str]) -> None:
        """Note that `told` is in the journal or the database."""
        self._told += told

    def tell(self, append: Callable[[bytes], None]) -> bool:
        """Write what is untold by `append`, of a journal, so that it survives the process; whether anything was.

        What the journal does not take is told the next time; but each try uses up a number, and is counted for that.
        """
        with self.telling:
            untold = self.untold()
            if untold:
                try:
                    append(encode_tally(untold))
                except JournalUnsynced:  # it is there
                    pass
                except JournalError:
                    self.add("tally_refused")
                    return False
                self.mark_told(untold)
            return bool(untold)

    def _fold(self) -> None:
        if self._is_folding:
            return
        self._is_folding = True
        try:
            while self._outstanding:
                reason, number = self._outstanding.popleft()
                self._total[reason] += number
        finally:
            self._is_folding = False


def encode_tally(counts: Counter[str]) -> bytes:
    """A record that tells counts instead of an event."""
    return msgspec.msgpack.encode(_Tally(dict(counts)))


def decode_tally(payload: bytes) -> Counter[str] | None:
    """The counts a record tells; None if it is no tally."""
    if _TALLY_MARK not in payload[:32]:
        return None
    try:
        return Counter(_decode_tally(payload).counts)
    except (msgspec.DecodeError, RecursionError, ValueError, TypeError):
        return None


def warn_once(key: str, message: str, *arguments: object) -> None:
    """Log a warning, the first time in this process that `key` is given. Never raises, whatever the log's handlers do."""
    if key in _warned:
        return
    _warned.add(key)
    with suppress(Exception):  # a log handler of the host's is no reason to disturb it
        log.warning(message, *arguments)


def forget_warnings() -> None:
    """Let every warning be given once more."""
    _warned.clear()
