"""What was logged is found: by the index, in a file and on a server, and without it where there can be none; by all alike."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from contract.test_rows import url_of, write
from serving.servers import LibsqlServer
from turso_hooks.drivers import Database, open_database, parse_database_url
from turso_hooks.errors import DatabaseLocked, DatabaseUnavailable
from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
)
from turso_hooks.query import Found, Reader
from turso_hooks.store import Batch, Numbering, Position, SearchIndex, Standing, prepare_schema, row_of, write_batch

START = datetime(2026, 1, 2, tzinfo=timezone.utc)
NAMES = ["file", "libsql_server", "turso_server"]
SAID = {
    "plain": "The quick brown fox jumps over the lazy dog",
    "accents": "Le café où naïve señor Müller",
    "chinese": "调用API失败:数据库连接超时",
    "japanese": "サーバーが応答しません。猫",
    "korean": "서버 오류 database가 없습니다",
    "code": "def read_file(path): raise FileNotFoundError('--dry-run')",
    "hostile": "<script>alert(1)</script> '; DROP TABLE messages; -- \x1b[31m",
    "long": "begin " + "padding " * 2000 + "needle at the end",
}
FOUND = {
    "fox": ["plain"],
    "FOX Quick": ["plain"],
    "fox cat": [],
    '"quick brown"': ["plain"],
    '"brown quick"': [],
    "jum*": ["plain"],
    "fox OR cafe": ["plain", "accents"],
    "(fox OR cafe) lazy": ["plain"],
    "the -fox": ["long"],
    "fox NOT cat": ["plain"],
    "fox -dog": [],
    "cafe naive senor muller": ["accents"],
    "数据库": ["chinese"],
    "数据": ["chinese"],
    "库": ["chinese"],
    "据数": [],
    "api": ["chinese"],
    "API失败": ["chinese"],
    "失败 数据库": ["chinese"],
    "サーバー": ["japanese"],
    "猫": ["japanese"],
    "오류": ["korean"],
    "database": ["korean"],
    "read_file": ["code"],
    "--dry-run": ["code"],
    "filenotfound*": ["code"],
    "drop table": ["hostile"],
    "needle": ["long"],
    '"the': ["plain", "long"],
    "AND": [],
    "fox AND": ["plain"],
    "OR OR ((": [],
    "fox)": ["plain"],
    'fox" "': ["plain"],
    "*": [],
    "": [],
    "fox:lazy ^dog {a}": [],
    "NEAR(fox dog)": [],
}


def event(n: int) -> dict[str, datetime]:
    return {"occurred_at": START + timedelta(seconds=n)}


@pytest.fixture(params=NAMES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"file:{tmp_path}/agents.db" if request.param == "file" else url_of(request.param, request)
    with open_database(parse_database_url(url)) as opened:
        prepare_schema(opened)
        yield opened


def index_all(database: Database) -> bool:
    """Bring everything into the index; whether there is one."""
    index = SearchIndex(database)
    while index.is_waiting():
        index.add_some()
    return index.prepare()


def names_of(found: Found) -> list[str]:
    return [hit.row_id.rpartition(":")[2] for hit in found.hits]


@pytest.mark.parametrize("is_indexed", [True, False], ids=["indexed", "waiting"])
def test_words_phrases_beginnings_and_their_combinations_find_what_they_say(database: Database, is_indexed: bool) -> None:
    said = [
        MessageAdded(session_id="s", role="user", message_id=name, content=text, **event(n))
        for n, (name, text) in enumerate(SAID.items())
    ]
    write(database, [said])
    has_index = index_all(database) if is_indexed else False
    reader = Reader(database)
    for query, names in FOUND.items():
        found = reader.search(query)
        assert sorted(names_of(found)) == sorted(names), query
        assert found.is_whole
    assert reader.search("fox").has_index == (has_index if is_indexed else False)


def test_titles_errors_reasoning_and_what_tools_are_given_and_print_are_found(database: Database) -> None:
    events: list[Event] = [
        SessionStarted(session_id="s", title="The zeppelin flies", **event(0)),
        MessageAdded(
            session_id="s",
            role="assistant",
            message_id="thought",
            content=[{"type": "reasoning", "text": "I ponder"}, {"type": "text", "text": "I say"}],
            **event(1),
        ),
        ToolCallStarted(session_id="s", tool_call_id="c", tool_name="bash", input={"command": "ls harbour"}, **event(2)),
        ToolCallFinished(session_id="s", tool_call_id="c", output='line one\nlighthouse\t"quoted"', **event(3)),
        MessageAdded(session_id="s", role="tool", tool_call_id="c", message_id="c", content="lighthouse", **event(3)),
        MessageAdded(session_id="s", role="tool", tool_call_id="d", message_id="d", content="cormorant", **event(4)),
        ModelCallFinished(session_id="s", model_call_id="m", error="overloaded by walruses", **event(5)),
        SessionEnded(session_id="s", status="error", error_message="the walruses won", **event(6)),
    ]
    write(database, [events[:3], events[3:]])
    index_all(database)
    reader = Reader(database)

    def kinds(query: str) -> list[str]:
        return [hit.kind for hit in reader.search(query).hits]

    assert kinds("zeppelin") == ["session"]
    assert kinds("ponder") == kinds("say") == ["message"]
    assert kinds("harbour") == kinds("lighthouse") == kinds("quoted") == kinds("bash") == ["tool_call"]  # not its message too
    assert kinds("cormorant") == ["message"]
    assert sorted(kinds("walruses")) == ["model_call", "session"]
    assert kinds("walruses")[0] == "model_call"  # the newest
    (hit,) = reader.search("lighthouse").hits
    assert [piece.text for piece in hit.snippet if piece.is_match] == ["lighthouse"]
    assert (hit.tool_name, hit.session_title, hit.occurred_at) == ("bash", "The zeppelin flies", START + timedelta(seconds=2))


def test_pages_are_found_by_key_and_filters_and_kinds_hold(database: Database) -> None:
    events: list[Event] = [SessionStarted(session_id=f"s{n}", agent_type="ab"[n % 2], **event(n)) for n in range(4)]
    events += [
        MessageAdded(session_id=f"s{n % 4}", role="user", message_id=f"{n:03}", content=f"word {n}", **event(n))
        for n in range(40)
    ]
    write(database, [events])
    index_all(database)
    reader = Reader(database)
    page = reader.search("word", limit=7)
    found, later = names_of(page), 2
    while page.next_cursor is not None:
        new = MessageAdded(session_id="s0", role="user", message_id=f"new{later}", content="word", **event(100 + later))
        write_by(database, f"w{later}", [new])
        page = reader.search("word", limit=7, cursor=page.next_cursor)
        found += names_of(page)
        later += 1
    assert found == [f"{n:03}" for n in reversed(range(40))]
    database.execute("DELETE FROM messages WHERE id LIKE '%:new%'", operation="write")
    assert names_of(reader.search("word", agent_type="a", limit=3)) == ["038", "036", "034"]
    assert names_of(reader.search("word", session_id="s1", limit=2)) == ["037", "033"]
    since, until = START + timedelta(seconds=10), START + timedelta(seconds=13)
    assert names_of(reader.search("word", since=since, until=until)) == ["012", "011", "010"]
    assert names_of(reader.search("word", kind="tool_call")) == []
    assert {session.session_id for session in reader.list_sessions(text="39 OR 38")} == {"s3", "s2"}
    best = reader.search("word 17", order="relevance")
    assert names_of(best) == ["017"]
    assert best.hits[0].score


WORDS = ["alpha", "beta", "gamma", "数据", "据库", "naïve", "delta"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("database", ["file", "libsql_server"], indirect=True)
def test_the_index_is_what_it_would_be_if_it_were_made_anew(database: Database, seed: int) -> None:
    """Whoever wrote, changed and deleted rows, in whatever order, while it was kept up to date now and then."""
    pick = random.Random(seed)
    index = SearchIndex(database)
    assert index.prepare()

    def text() -> str:
        return " ".join(pick.choices(WORDS, k=pick.randrange(6)))

    def batch() -> list[Event]:
        makers = (
            lambda n: MessageAdded(
                session_id="s",
                role=pick.choice(["user", "tool"]),
                message_id=f"m{n}",
                tool_call_id=f"m{n}",
                content=text(),
                **when(),
            ),
            lambda n: ToolCallStarted(session_id="s", tool_call_id=f"m{n}", tool_name="t", input=text(), **when()),
            lambda n: ToolCallFinished(session_id="s", tool_call_id=f"m{n}", output=text(), **when()),
            lambda n: SessionStarted(session_id=f"s{n}", title=text(), **when()),
            lambda n: ModelCallFinished(session_id="s", model_call_id=f"m{n}", error=pick.choice([None, text()]), **when()),
        )
        return [pick.choice(makers)(pick.randrange(12)) for _ in range(pick.randrange(1, 15))]

    def when() -> dict[str, datetime]:
        return event(pick.randrange(3))

    batches = [batch() for _ in range(12)]
    by_others = (
        "UPDATE messages SET content = 'alpha beta' WHERE id LIKE '%:m1'",
        "DELETE FROM tool_executions WHERE id LIKE '%:m2'",
        "DELETE FROM messages WHERE id LIKE '%:m3'",
        "INSERT OR IGNORE INTO messages (id, session_id, sequence, role, content) VALUES ('foreign', 's', 9, 'user', 'gamma')",
        "UPDATE messages SET created_at = '2026-01-02 00:00:09' WHERE id LIKE '%:m4'",
        "UPDATE sessions SET title = NULL WHERE id = 's5'",
        "UPDATE messages SET content = 'gamma beta', created_at = '2026-01-02 00:00:07' WHERE id LIKE '%:m5'",
    )
    for number in range(1, len(batches) + 1):
        write_by(database, f"w{number}", batches[number - 1])
        if pick.random() < 0.5:
            database.execute(pick.choice(by_others), operation="write")
        if pick.random() < 0.6:
            index.add_some()
    while index.is_waiting():
        index.add_some()
    kept = contents(database)
    reader = Reader(database)
    found = {word: sorted(hit.row_id for hit in reader.search(word, limit=1000).hits) for word in WORDS}
    index.empty()
    waiting = {word: sorted(hit.row_id for hit in reader.search(word, limit=1000).hits) for word in WORDS}
    while index.is_waiting():
        index.add_some()
    assert contents(database) == kept
    assert found == waiting == {w: sorted(hit.row_id for hit in reader.search(w, limit=1000).hits) for w in WORDS}


@pytest.mark.parametrize("database", ["file", "libsql_server"], indirect=True)
def test_a_row_of_which_another_program_changes_text_and_time_at_once_leaves_nothing_behind(database: Database) -> None:
    write(database, [[MessageAdded(session_id="s", role="user", message_id="m", content="before", **event(0))]])
    assert index_all(database)
    database.execute("UPDATE messages SET content = 'after', created_at = '2026-01-02 00:01:00'", operation="write")
    index_all(database)
    assert contents(database) == [("after", 1, 1)]
    assert names_of(Reader(database).search("after")) == ["m"]
    assert names_of(Reader(database).search("before")) == []


def write_by(database: Database, writer_id: str, events: list[Event]) -> None:
    begin, end = Standing(None, Numbering()), Standing(Position(1, 1), Numbering(1))
    batch = Batch(writer_id, begin, end, [row_of(each) for each in events], len(events))
    for _ in range(200):  # as a shipper tries again
        with suppress(DatabaseLocked):
            write_batch(database, batch, START)
            return
    raise AssertionError("the database is never free")


def contents(database: Database) -> list[tuple[object, ...]]:
    """The words in the index, and in how many rows each is."""
    database.execute("CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5vocab(search_index, row)")
    return database.execute("SELECT term, doc, cnt FROM words ORDER BY term").rows


@pytest.mark.slow
def test_what_takes_a_server_longer_than_a_request_may_is_indexed_all_the_same(libsql_server: LibsqlServer) -> None:
    target = parse_database_url(libsql_server.url)
    chinese = "数据库连接超时" * 1000
    said = [MessageAdded(session_id="s", role="user", message_id=f"m{n}", content=chinese, **event(n)) for n in range(600)]
    with open_database(target) as patient, open_database(target, request_timeout_s=0.5) as hurried:
        prepare_schema(patient)
        assert SearchIndex(patient).prepare()
        write(patient, [said[at : at + 60] for at in range(0, 600, 60)])
        index = SearchIndex(hurried)
        failures = 0
        while index.is_waiting():
            try:
                index.add_some()
            except DatabaseUnavailable:
                failures += 1
        assert failures


INDEXING = """
import sys
from turso_hooks.drivers import open_database, parse_database_url
from turso_hooks.errors import DatabaseUnavailable
from turso_hooks.store import SearchIndex

with open_database(parse_database_url(sys.argv[1])) as database:
    index = SearchIndex(database)
    print("begins", flush=True)
    while True:
        try:
            index.pace.at_once = 7  # many small transactions: others get in between
            index.add_some()
        except DatabaseUnavailable:
            pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("database", ["file", "libsql_server"], indirect=True)
def test_while_several_processes_write_and_index_a_search_finds_everything_once(
    database: Database, tmp_path: Path, child: Callable[..., subprocess.Popen[str]], request: pytest.FixtureRequest
) -> None:
    url = f"file:{tmp_path}/agents.db" if database.name.startswith("file:") else url_of("libsql_server", request)
    assert SearchIndex(database).prepare()
    processes = [child(INDEXING, url) for _ in range(3)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "begins\n"
        reader = Reader(database)
        said: list[str] = []
        for n in range(60):
            new = [f"{n}-{k}" for k in range(10)]
            write_by(
                database, f"w{n}", [MessageAdded(session_id="s", role="user", message_id=k, content="needle") for k in new]
            )
            said += new
            found = names_of(reader.search("needle", limit=1000))
            assert sorted(found) == sorted(said)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    index_all(database)
    assert contents(database) == [("needle", len(said), len(said))]
