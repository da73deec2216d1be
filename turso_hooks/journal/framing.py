"""The format of a record, and finding records among damage. Pure: bytes in, bytes out.

A record is, little-endian:

    bytes 0-3     the marker C1 54 48 31 (`C1` begins no msgpack value and no UTF-8 character; `1` is the version)
    bytes 4-7     length of the payload
    bytes 8-15    number: 0, 1, 2 … for one writer
    bytes 16-19   CRC-32 of bytes 0-15, begun with the writer's salt
    bytes 20-23   CRC-32 of the payload
    then          the payload

The salt is the CRC-32 of the writer's id, so a record of one writer inside the payload of another (an agent that reads a
journal) is never taken for one.

Any cut or flipped byte costs only the records it touches: where a record does not check out, the next valid header is
searched, first where the record should have ended, then from its second byte on.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

_MARKER = b"\xc1TH1"
_HEAD = struct.Struct("<4sIQ")
_CHECKSUMS = struct.Struct("<II")
_HEADER = struct.Struct("<4sIQII")
HEADER_BYTES = _HEADER.size

_pack_head = _HEAD.pack
_pack_checksums = _CHECKSUMS.pack
_unpack_header = _HEADER.unpack_from
_crc32 = zlib.crc32


class Record(NamedTuple):
    """A payload that checked out, its number, and where it begins and ends in the bytes it was found in."""

    number: int
    payload: bytes
    start: int
    end: int


class Scan(NamedTuple):
    """What was found in some bytes: the records, how many stretches are damaged, and how far they are accounted for."""

    records: list[Record]
    damages: int
    end: int


def salt_of(writer_id: str) -> int:
    """The value from which a writer's header checksums begin."""
    return zlib.crc32(writer_id.encode())


def frame(payload: bytes, number: int, salt: int) -> bytes:
    """The record that carries `payload`."""
    head = _pack_head(_MARKER, len(payload), number)
    return head + _pack_checksums(_crc32(head, salt), _crc32(payload)) + payload


def scan(data: bytes, salt: int, *, is_final: bool, max_records: int, offset: int = 0) -> Scan:
    """Find up to `max_records` records in `data`, which begins where a record should.

    All places are counted from `offset`, the place of `data` in its file. `is_final` says that nothing will follow: then an
    unfinished record at the end is damage. Otherwise it may still be on its way, and the scan ends before it.
    """
    records: list[Record] = []
    damages = position = 0
    while position < len(data) and len(records) < max_records:
        record = _record_at(data, position, salt, offset)
        if record is not None:
            records.append(record)
            position = record.end - offset
            continue
        following = _next_record(data, position, salt)
        if following is None:
            following = len(data) if is_final else _certain_damage_end(data, position, salt)
        if following == position:
            break
        damages += 1
        position = following
    return Scan(records, damages, offset + position)


def expected_end(data: bytes, salt: int) -> int | None:
    """Where the record at the beginning of `data` ends by its own header; None without a valid one."""
    return _end_at(data, 0, salt)


def number_in(header: bytes, salt: int) -> int | None:
    """The number of the record that begins with `header`, by its own account; None if that is no valid header."""
    return None if _end_at(header, 0, salt) is None else int(_unpack_header(header)[2])


def _end_at(data: bytes, position: int, salt: int) -> int | None:
    """Where the record whose header is at `position` ends, be it there or not; None if that is no valid header."""
    if len(data) - position < HEADER_BYTES:
        return None
    marker, length, _, header_crc, _ = _unpack_header(data, position)
    if marker != _MARKER or _crc32(data[position : position + _HEAD.size], salt) != header_crc:
        return None
    return position + HEADER_BYTES + int(length)


def _record_at(data: bytes, position: int, salt: int, offset: int = 0) -> Record | None:
    end = _end_at(data, position, salt)
    if end is None or end > len(data):
        return None
    _, _, number, _, payload_crc = _unpack_header(data, position)
    payload = data[position + HEADER_BYTES : end]
    if _crc32(payload) != payload_crc:
        return None
    return Record(number, payload, offset + position, offset + end)


def _next_record(data: bytes, position: int, salt: int) -> int | None:
    """Where the next whole record begins after the damage at `position`."""
    expected = _end_at(data, position, salt)
    if expected is not None and _record_at(data, expected, salt) is not None:
        return expected
    found = data.find(_MARKER, position + 1)
    while found >= 0:
        if _record_at(data, found, salt) is not None:
            return found
        found = data.find(_MARKER, found + 1)
    return None


def _certain_damage_end(data: bytes, position: int, salt: int) -> int:
    """Up to where bytes without a record are damage for certain, rather than the beginning of one still to come."""
    found = data.find(_MARKER, position)
    while found >= 0:
        expected = _end_at(data, found, salt)
        is_cut_in_header = len(data) - found < HEADER_BYTES
        if is_cut_in_header or (expected is not None and expected > len(data)):
            return found
        found = data.find(_MARKER, found + 1)
    beginnings = (len(data) - size for size in (3, 2, 1) if data.endswith(_MARKER[:size]))
    return max(next(beginnings, len(data)), position)
