"""What other programs have written, or what changes between two pages, is read all the same, and once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from turso_hooks.drivers import Database, EmbeddedDatabase
from turso_hooks.errors import QueryError
from turso_hooks.query import Reader
from turso_hooks.store import SearchIndex, prepare_schema


@pytest.fixture
def opened(database: Path) -> Iterator[Database]:
    with EmbeddedDatabase(database) as opened:
        prepare_schema(opened)
        yield opened


def insert(database: Database, table: str, **values: object) -> None:
    marks = ", ".join("?" * len(values))
    database.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))


def insert_session(database: Database, session_id: object, **values: object) -> None:
    insert(database, "sessions", **{"id": session_id, "agent_type": "a", "model": "m", "status": "completed", **values})


def insert_message(database: Database, row_id: str, **values: object) -> None:
    insert(
        database, "messages", **{"id": row_id, "session_id": "s", "sequence": 1, "role": "user", "content": row_id, **values}
    )


def all_pages(ask: Callable[..., Any], **named: Any) -> list[Any]:
    found: list[Any] = []
    cursor = None
    for _ in range(2000):
        page = ask(cursor=cursor, **named)
        found += page
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise AssertionError("pages without end")


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 50])
@pytest.mark.parametrize("filters", [{}, {"model": "m*"}, {"agent_type": "a"}], ids=["all", "pattern", "exact"])
def test_sessions_without_a_known_time_come_last_and_on_every_page(
    opened: Database, limit: int, filters: dict[str, str]
) -> None:
    for n in range(3):
        insert_session(opened, f"known-{n}", started_at=f"2026-01-0{n + 1} 00:00:00")
        insert_session(opened, f"unknown-{n}", started_at="yesterday")
    for order in ("started", "seen"):
        found = all_pages(Reader(opened).list_sessions, limit=limit, order=order, **filters)
        ids = [session.session_id for session in found]
        assert len(ids) == len(set(ids)) == 6
        assert order == "seen" or ids == ["known-2", "known-1", "known-0", "unknown-2", "unknown-1", "unknown-0"]


def test_an_id_may_be_nothing_at_all(opened: Database) -> None:
    insert_session(opened, "", started_at="unknown")
    insert_session(opened, "a", started_at="unknown")
    for filters in ({}, {"model": "m*"}):
        found = all_pages(Reader(opened).list_sessions, limit=1, **filters)
        assert [session.session_id for session in found] == ["a", ""]


def test_many_sessions_are_not_hidden_by_a_few_without_a_time(opened: Database) -> None:
    for n in range(520):
        insert_session(opened, f"s{n:03}", started_at="2026-01-01 00:00:00" if n % 50 else "unknown")
    found = all_pages(Reader(opened).list_sessions, limit=50, model="m*")
    assert len({session.session_id for session in found}) == len(found) == 520


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_any_position_and_any_time_has_its_place_in_a_session(opened: Database, limit: int) -> None:
    insert_session(opened, "s")
    places: list[tuple[str, object]] = [
        *(("2026-01-01 00:00:00", position) for position in (None, 1, 2**63 - 1, 1e30, 0.5, "text", b"\xff", -5)),
        *(
            (time, 1)
            for time in (b"\xfe", b"\xff", "once", "1960-01-01 00:00:00", "1970-01-01 00:00:00", "0001-01-01 00:00:00")
        ),
    ]
    for n, (time, position) in enumerate(places):
        insert_message(opened, f"m{n:02}", created_at=time, position=position)
    whole = [message.row_id for message in Reader(opened).messages("s")]
    assert sorted(whole) == [f"m{n:02}" for n in range(len(places))]
    assert [message.row_id for message in all_pages(Reader(opened).messages, session_id="s", limit=limit)] == whole
    assert len(Reader(opened).get_session("s").entries) == len(places)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_what_is_indexed_between_two_pages_of_a_search_is_found_once(opened: Database, limit: int) -> None:
    insert_session(opened, "s")
    index, reader = SearchIndex(opened), Reader(opened)
    assert index.prepare()
    for n in range(4):
        insert_message(opened, f"a{n}", content="needle", created_at="2026-01-01 00:00:00")
    index.add_some()
    for n in range(5):
        insert_message(opened, f"b{n}", content="needle", created_at="2026-01-01 00:00:00")
        insert_message(opened, f"c{n}", content="needle", created_at="2026-01-01 00:00:05")
    found: list[str] = []
    cursor = None
    while True:
        page = reader.search("needle", limit=limit, cursor=cursor)
        found += [hit.row_id for hit in page.hits]
        cursor = page.next_cursor
        if cursor is None:
            break
        index.pace.at_once = 2
        index.add_some()
    assert sorted(found) == sorted(f"{letter}{n}" for letter, most in (("a", 4), ("b", 5), ("c", 5)) for n in range(most))


def test_pages_of_a_search_end_where_more_waits_than_is_looked_at(opened: Database) -> None:
    insert_session(opened, "s")
    assert SearchIndex(opened).prepare()
    for n in range(30):
        insert_message(opened, f"a{n}", content="needle" if n % 6 == 0 else "hay", created_at="2026-01-01 00:00:00")
    SearchIndex(opened).add_some()
    for n in range(1100):
        insert_message(opened, f"b{n}", content="hay", created_at="2026-01-01 00:00:05")
    found: list[str] = []
    cursor = None
    for _ in range(20):
        page = Reader(opened).search("needle", limit=3, cursor=cursor, kind="message")
        found += [hit.row_id for hit in page.hits]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert cursor is None
    assert sorted(found) == sorted(f"a{n}" for n in range(0, 30, 6))


def test_a_tail_goes_on_from_where_it_looked_whatever_it_showed(opened: Database) -> None:
    insert_session(opened, "s")
    insert_session(opened, "quiet", agent_type="quiet")
    reader = Reader(opened)
    cursors = {"filtered": reader.tail(agent_type="nobody").cursor, "quiet": reader.tail("quiet").cursor}
    for n in range(50):
        insert_message(opened, f"m{n}")
    assert json.loads(reader.tail(agent_type="nobody", cursor=cursors["filtered"]).cursor)[0] == 50
    assert json.loads(reader.tail("quiet", cursor=cursors["quiet"]).cursor)[0] == 50
    last = reader.tail("s", limit=1)
    insert_message(opened, "old", created_at="2020-01-01 00:00:00")
    assert [entry.row_id for entry in reader.tail("s", cursor=last.cursor).entries] == ["old"]


@pytest.mark.parametrize("cursor", ["[1, 2, 5]", "[1, null, null]", "[1, 2, [3]]", "[]", "x"])
def test_a_cursor_that_is_none_is_said_to_be_none(opened: Database, cursor: str) -> None:
    insert_session(opened, "s")
    reader = Reader(opened)
    for ask in (reader.tail, reader.list_sessions, partial(reader.messages, "s"), partial(reader.search, "word")):
        with pytest.raises(QueryError, match="is no cursor of this question"):
            ask(cursor=cursor)


@pytest.mark.parametrize(("query", "found"), [("bar -(foo)", ["b"]), ("bar (-foo)", ["b"]), ("bar NOT (foo OR x)", ["b"])])
def test_parentheses_may_be_what_is_not_to_be_there(opened: Database, query: str, found: list[str]) -> None:
    insert_session(opened, "s")
    insert_message(opened, "a", content="foo bar")
    insert_message(opened, "b", content="bar baz")
    SearchIndex(opened).add_some()
    page = Reader(opened).search(query)
    assert ([hit.row_id for hit in page.hits], page.looked_at < 10) == (found, True)
