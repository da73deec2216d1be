from __future__ import annotations

import os
import random
from datetime import datetime, timedelta, timezone

import msgspec
import pytest

from turso_hooks import events
from turso_hooks.events import EVENT_TYPES, MessageAdded, SessionStarted, ToolCallStarted, hook_name, row_id, row_id_of


def test_event_ids_are_uuid7_in_hex_and_sort_by_birth() -> None:
    made = [events.new_event_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(len(one) == 32 and one[12] == "7" and one[16] in "89ab" for one in made)
    assert [one[:16] for one in made] == sorted(one[:16] for one in made)


def test_a_program_that_seeds_random_does_not_make_ids_equal() -> None:
    random.seed(1)
    first = events.new_event_id()
    random.seed(1)
    assert first[16:] != events.new_event_id()[16:]


def test_a_forked_child_makes_other_ids_than_its_parent() -> None:
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, events.new_event_id()[16:].encode())
        os._exit(0)
    os.wait()
    assert os.read(read, 16).decode() != events.new_event_id()[16:]
    os.close(read)
    os.close(write)


def test_a_row_id_is_the_session_the_kind_the_source_id_and_its_reuse() -> None:
    assert row_id("s", "tool_call", "c1") == "s:tool_call:c1"
    assert row_id("s", "tool_call", "c1", 2) == "s:tool_call:c1~2"


def test_an_event_belongs_to_the_row_it_names_or_its_source_id_or_else_a_row_of_its_own() -> None:
    assert row_id_of(MessageAdded(session_id="s", role="user", row_id="r", message_id="m")) == "r"
    assert row_id_of(MessageAdded(session_id="s", role="user", message_id="m")) == "s:message:m"
    alone = ToolCallStarted(session_id="s", tool_call_id="")
    assert row_id_of(alone) == alone.event_id
    assert row_id_of(SessionStarted(session_id="s")) == "s"


def test_a_hook_is_the_structs_name_in_snake_case() -> None:
    assert [hook_name(kind) for kind in EVENT_TYPES] == [
        "session_started",
        "message_added",
        "model_call_started",
        "model_call_finished",
        "tool_call_started",
        "tool_call_finished",
        "session_ended",
        "note_added",
    ]


def test_events_are_frozen() -> None:
    with pytest.raises(AttributeError):
        MessageAdded(session_id="s", role="user").role = "assistant"  # type: ignore[misc]
    changed = msgspec.structs.replace(MessageAdded(session_id="s", role="user"), role="assistant")
    assert changed.role == "assistant"


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc), "2026-01-02T03:04:05.000000Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 6), "2026-01-02T03:04:05.000006Z"),  # noqa: DTZ001  # a naive time is what is tested
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T01:04:05.000000Z"),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-2))), "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_times_as_text_are_utc_with_six_decimals_and_z(moment: datetime, text: str) -> None:
    assert events.to_text(moment) == text


def test_an_event_read_twice_from_a_transcript_has_the_same_id() -> None:
    moment = datetime(2026, 1, 2, tzinfo=timezone.utc)
    one = events.derived_event_id(moment, "s", "message", "1")
    assert one == events.derived_event_id(moment, "s", "message", "1")
    assert one != events.derived_event_id(moment, "s", "message", "2")
    assert len(one) == 32
    assert one < events.derived_event_id(moment + timedelta(milliseconds=1), "s", "message", "1")
