from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from turso_hooks.journal.framing import frame, salt_of, scan

SALT = salt_of("0" * 32)
payloads = st.lists(st.binary(max_size=80) | st.just(b"\xc1TH1\x00\x00"), min_size=1, max_size=12)


def journal(found: list[bytes]) -> tuple[bytes, list[tuple[int, int]]]:
    """Records one after the other, and from where to where each reaches."""
    data, places = b"", []
    for number, payload in enumerate(found):
        begin = len(data)
        data += frame(payload, number, SALT)
        places.append((begin, len(data)))
    return data, places


def read(data: bytes, *, is_final: bool = True) -> list[tuple[int, bytes]]:
    return [(record.number, record.payload) for record in scan(data, SALT, is_final=is_final, max_records=1000).records]


@given(payloads)
def test_what_was_written_is_read(found: list[bytes]) -> None:
    data, _ = journal(found)
    result = scan(data, SALT, is_final=False, max_records=1000)
    assert [record.payload for record in result.records] == found
    assert (result.damages, result.end) == (0, len(data))


@given(payloads, st.data())
def test_a_flipped_byte_costs_only_the_record_it_is_in(found: list[bytes], data: st.DataObject) -> None:
    whole, places = journal(found)
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = bytearray(whole)
    broken[at] ^= data.draw(st.integers(1, 255))
    hit = next(number for number, (begin, end) in enumerate(places) if begin <= at < end)
    assert read(bytes(broken)) == [(n, payload) for n, payload in enumerate(found) if n != hit]


@given(payloads, st.data())
def test_a_cut_costs_only_the_records_it_touches(found: list[bytes], data: st.DataObject) -> None:
    whole, places = journal(found)
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, len(whole)))
    untouched = [(n, found[n]) for n, (first, last) in enumerate(places) if last <= begin or first >= end]
    survivors = read(whole[:begin] + whole[end:])
    assert [record for record in survivors if record in untouched] == untouched
    assert all(record in list(enumerate(found)) for record in survivors)


@given(payloads, st.binary(max_size=60))
def test_rubbish_between_records_costs_none(found: list[bytes], rubbish: bytes) -> None:
    whole, places = journal(found)
    for _, end in places:
        assert read(whole[:end] + rubbish + whole[end:]) == list(enumerate(found))


@given(payloads, st.data())
def test_a_record_on_its_way_is_waited_for(found: list[bytes], data: st.DataObject) -> None:
    whole, places = journal(found)
    cut = data.draw(st.integers(0, len(whole)))
    arrived = [(n, payload) for n, payload in enumerate(found) if places[n][1] <= cut]
    result = scan(whole[:cut], SALT, is_final=False, max_records=1000)
    assert [(record.number, record.payload) for record in result.records] == arrived
    assert result.damages == 0
    assert result.end == max((end for _, end in places if end <= cut), default=0)


def test_another_writers_record_inside_a_payload_is_not_taken_for_one() -> None:
    foreign = frame(b"foreign", 0, salt_of("1" * 32))
    data, _ = journal([foreign * 3, b"own"])
    broken = bytearray(data)
    broken[30] ^= 1
    assert read(bytes(broken)) == [(1, b"own")]


def test_a_torn_record_before_others_is_damage_even_while_the_file_grows() -> None:
    whole, _ = journal([b"x" * 100])
    data = whole[:60] + frame(b"after", 1, SALT)
    result = scan(data, SALT, is_final=False, max_records=1000)
    assert ([record.payload for record in result.records], result.damages) == ([b"after"], 1)


def test_no_more_records_are_read_than_asked_for() -> None:
    data, places = journal([b"a", b"b", b"c"])
    result = scan(data, SALT, is_final=True, max_records=2)
    assert (len(result.records), result.end) == (2, places[1][1])
