"""Large values are kept whole beside the rows, once each, and come back whole; lists have their beginnings."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from query.test_stats import run, write
from turso_hooks.drivers import Database, EmbeddedDatabase, open_database, parse_database_url
from turso_hooks.events import (
    MessageAdded,
    NoteAdded,
    ReasoningPart,
    SessionStarted,
    TextPart,
    ToolCallFinished,
    ToolCallStarted,
)
from turso_hooks.query import Reader
from turso_hooks.store import Prunable, Pruner, SearchIndex, prepare_schema
from turso_hooks.store.rows.payloads import LARGE_CHARS, LARGE_TEXT_CHARS

AT = datetime(2026, 3, 4, tzinfo=timezone.utc)
LARGE = "beginning " + 'x é 日本 \\ " \n' * 50_000 + "NUL \0 the end"


@pytest.fixture(params=["file", "libsql_server", "turso_server"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"file:{tmp_path}/large.db" if request.param == "file" else request.getfixturevalue(request.param).url
    with open_database(parse_database_url(url)) as database:
        prepare_schema(database)
        yield database


@pytest.fixture
def file(tmp_path: Path) -> Iterator[EmbeddedDatabase]:
    with EmbeddedDatabase(tmp_path / "large.db") as database:
        prepare_schema(database)
        yield database


def tool_call(output: Any, session_id: str = "s", **known: Any) -> ToolCallFinished:
    return ToolCallFinished(
        session_id=session_id, occurred_at=AT, tool_call_id="c", tool_name="read", input={"path": "a"}, output=output, **known
    )


def test_a_large_value_comes_back_whole_and_is_kept_once(database: Database) -> None:
    as_message = MessageAdded(session_id="s", occurred_at=AT, role="tool", content=LARGE, tool_call_id="c", message_id="m")
    said = MessageAdded(session_id="s", occurred_at=AT, role="user", content=LARGE * 2, message_id="long")
    write(database, SessionStarted(session_id="s", occurred_at=AT), tool_call(LARGE), as_message, said)
    write(database, tool_call(LARGE, "t"), as_message, said)  # in another session, and said again
    conversation = Reader(database).get_session("s")
    assert conversation.tool_calls[0].output == LARGE
    assert {message.content for message in conversation.messages} == {LARGE, LARGE * 2}
    assert all(not entry.cut for entry in conversation.entries)
    texts = [text for (text,) in database.execute("SELECT text FROM payloads ORDER BY id, piece").rows]
    assert sum(map(len, texts)) == len(json.dumps(LARGE, ensure_ascii=False)) + len(LARGE) + len(LARGE * 2)
    lengths = "SELECT max(length(CAST(content AS BLOB))) FROM messages WHERE role = 'tool'"
    assert database.execute(lengths).rows[0][0] < LARGE_CHARS
    listed = Reader(database).tool_calls()[0]
    assert (listed.cut, listed.output[:10]) == (("output",), "beginning ")
    last = Reader(database).tail()
    assert {entry.cut for entry in last.entries} == {("output",), ("content",)}


def test_what_is_shown_of_json_is_json_with_its_long_texts_cut(file: EmbeddedDatabase) -> None:
    image = {"type": "image", "data": "y" * 100_000}
    parts = [TextPart(text="What is this?"), image, ReasoningPart(text="a thought " * 10)]
    write(file, MessageAdded(session_id="s", occurred_at=AT, role="user", content=parts, message_id="m"))
    write(file, NoteAdded(session_id="s", occurred_at=AT, name="many", payload={"items": list(range(50_000))}))
    (shown,) = file.execute("SELECT parts FROM messages").rows[0]
    assert json.loads(shown)[0] == {"type": "text", "text": "What is this?"}
    assert json.loads(shown)[1]["data"] == "y" * 4096 + "… (100,000 characters)"
    (shown,) = file.execute("SELECT payload FROM notes").rows[0]
    assert json.loads(shown) == {"items": list(range(50_000))}  # no text in it is long
    conversation = Reader(file).get_session("s")
    assert conversation.messages[0].parts[1] == image
    assert conversation.notes[0].payload == {"items": list(range(50_000))}
    index = SearchIndex(file)
    index.prepare()
    index.add_some()
    assert len(Reader(file).search("thought").hits) == 1


@pytest.mark.parametrize("length", [LARGE_CHARS - 3, LARGE_CHARS - 2, LARGE_CHARS - 1, LARGE_TEXT_CHARS, LARGE_TEXT_CHARS + 1])
def test_at_the_limit_nothing_is_lost(file: EmbeddedDatabase, length: int) -> None:
    text = "".join(random.Random(length).choices("abé日\n", k=length))
    write(file, tool_call(text), MessageAdded(session_id="s", occurred_at=AT, role="user", content=text))
    conversation = Reader(file).get_session("s")
    assert (conversation.tool_calls[0].output, conversation.messages[0].content) == (text, text)


def test_of_two_claims_the_value_and_its_payload_come_from_the_same(file: EmbeddedDatabase, tmp_path: Path) -> None:
    claims = [
        tool_call("y" * 100_000, source_rank=2),
        tool_call("small", source_rank=3),
        tool_call("z" * 100_000, source_rank=1),
        ToolCallStarted(session_id="s", occurred_at=AT, tool_call_id="c", tool_name="read", input="w" * 100_000),
    ]
    for n in range(4):
        pick = random.Random(n)
        pick.shuffle(claims)
        with EmbeddedDatabase(tmp_path / f"{n}.db") as database:
            prepare_schema(database)
            for claim in claims:
                write(database, claim)
            call = Reader(database).get_session("s").tool_calls[0]
            assert (call.output, call.cut) == ("small", ())
    write(file, tool_call("small", source_rank=1), tool_call("y" * 100_000, source_rank=2))
    assert Reader(file).get_session("s").tool_calls[0].output == "y" * 100_000


def test_what_another_program_puts_in_its_place_is_what_is_read(file: EmbeddedDatabase) -> None:
    write(file, tool_call("y" * 100_000))
    run(file, "UPDATE tool_executions SET output = '\"taken out\"'")
    call = Reader(file).get_session("s").tool_calls[0]
    assert (call.output, call.cut) == ("taken out", ())


def test_large_values_go_with_the_last_that_refers_to_them(database: Database) -> None:
    write(database, tool_call("y" * 100_000, "s"), tool_call("y" * 100_000, "t"), tool_call("z" * 300_000, "t"))
    write(database, SessionStarted(session_id="u", occurred_at=AT), tool_call("w" * 100_000, "u"))

    def kept() -> set[str]:
        return {text for (text,) in database.execute("SELECT substr(text, 2, 1) FROM payloads WHERE piece = 0").rows}

    for gone, expected in (("s", {"z", "w"} | ({"y"} & kept())), ("t", {"w"})):
        pruner = Pruner(database, Prunable("sessions.id = ?", (gone,)))
        while pruner.remove_some():
            pass
        assert kept() <= expected
    assert kept() == {"w"}
    assert Reader(database).get_session("u").tool_calls[0].output == "w" * 100_000
