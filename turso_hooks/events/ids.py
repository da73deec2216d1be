"""Ids: of events, made at birth or derived from a transcript; and of rows, derived from the ids of their source.

An event id is a UUIDv7 in its 32 hex digits (RFC 9562, section 5.7; the 12 bits after the version hold the fraction of the
millisecond, its method 3), so ids sort by time. The random bits come from a generator of our own, seeded by the
system and seeded anew in a forked child: a program that seeds `random` must not make two processes' ids equal.
"""

from __future__ import annotations

import random
import time
from datetime import datetime
from hashlib import blake2b

from turso_hooks import forking
from turso_hooks.events.times import to_microseconds

_VERSION = 7 << 12
_VARIANT = 0b10 << 62
_random = random.Random()  # noqa: S311  # ids need no secrecy, only to differ
_random_bits = _random.getrandbits
_clock_ns = time.time_ns

forking.in_child(_random.seed)


def new_event_id() -> str:
    """A fresh event id: 32 hex digits, time-ordered."""
    milliseconds, rest_ns = divmod(_clock_ns(), 1_000_000)
    number = (milliseconds << 16 | _VERSION | rest_ns * 4096 // 1_000_000) << 64 | _VARIANT | _random_bits(62)
    return number.to_bytes(16, "big").hex()  # 0.3 us; formatting takes 0.55


def derived_event_id(occurred_at: datetime, *source: str) -> str:
    """The id of an event read from a transcript: the same source says the same, so reading it twice changes nothing.

    `source` is what makes the event unique, such as its row id and its kind.
    """
    milliseconds, rest_us = divmod(max(to_microseconds(occurred_at), 0), 1000)
    digest = blake2b("\0".join(source).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    bits = int.from_bytes(digest, "big") >> 2
    return f"{milliseconds:012x}7{rest_us * 4096 // 1000:03x}{_VARIANT | bits:016x}"


def row_id(session_id: str, kind: str, source_id: str, n: int = 0) -> str:
    """The id of a row: `{session_id}:{kind}:{source_id}`, with `~n` for the n-th reuse of a source id.

    `kind` is `message`, `tool_call`, `model_call` or `note`. This is the only derivation there is, so that live capture and a
    later import of the same transcript meet in the same rows. A source that uses one of its ids again within a session is
    told apart by whoever reads it, by counting in the order of the transcript.
    """
    return f"{session_id}:{kind}:{source_id}~{n}" if n else f"{session_id}:{kind}:{source_id}"
