"""How much to ship at once: as much as is done in a second. Pure.

Turso Cloud ends a transaction after 5 s, a proxy may not take more than a megabyte, and a distant or busy server is slower than
a near one. So the size follows what the last batch took, between one record and the most that is asked for. What a request
takes however small it is does not count: smaller ones would only be more of them.
"""

from __future__ import annotations

_TARGET_S = 1.0
"""What a batch shall take, on the wire and in the database: a fifth of what the strictest server allows."""

SMALLEST_BYTES = 4096
"""The smallest limit on bytes, which is that of an event (`Settings.max_event_bytes`)."""

_OFTEN = 3
"""So many failures in a row are no accident."""

_FEW_RECORDS, _FEW_BYTES = 10, 64 * 1024
"""What takes long with no more than these takes long with nothing at all."""


class BatchSize:
    """The limits of the next batch.

    Attributes:
        records: the most records.
        bytes: the most bytes of the journal; a single record may be larger.
    """

    def __init__(self, most_records: int, most_bytes: int) -> None:
        self._most_records, self._most_bytes = most_records, most_bytes
        self.records, self.bytes = most_records, most_bytes
        self._failures = 0
        self._request_s = 0.0
        """What a request takes by itself, as far as is known: the line, the handshake, the server's queue."""

    def took(self, seconds: float, records: int, size_bytes: int) -> None:
        """Learn from a batch of `records` records and `size_bytes` bytes that was written."""
        is_small = records <= _FEW_RECORDS and size_bytes <= _FEW_BYTES
        self._request_s = seconds if is_small else min(self._request_s, seconds)
        self._shrink(seconds, records, size_bytes)
        self._failures = 0
        if seconds - self._request_s < _TARGET_S / 2:
            self.records = min(self._most_records, 2 * self.records)
            self.bytes = min(self._most_bytes, 2 * self.bytes)

    def failed(self, seconds: float, records: int, size_bytes: int) -> None:
        """Learn from one that was not: if that took long, or happened several times, it may have been because it was too much.

        Not every proxy says so: some just break off.
        """
        self._failures += 1
        if self._failures >= _OFTEN:
            self.records, self.bytes = max(1, records // 2), max(SMALLEST_BYTES, size_bytes // 2)
        self._shrink(seconds, records, size_bytes)

    def _shrink(self, seconds: float, records: int, size_bytes: int) -> None:
        work_s = seconds - self._request_s
        if work_s > _TARGET_S:
            share = _TARGET_S / work_s
            self.records = max(1, int(records * share))
            self.bytes = max(SMALLEST_BYTES, int(size_bytes * share))

    def was_too_large(self, size_bytes: int) -> None:
        """Learn that so many bytes are not taken at once, and never will be."""
        self._most_bytes = max(SMALLEST_BYTES, min(self._most_bytes, size_bytes // 2))
        self.bytes = min(self.bytes, self._most_bytes)
