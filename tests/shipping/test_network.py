"""Each way a network or a server fails, on real ones: what it is called, and that nothing is lost or comes twice."""

from __future__ import annotations

import email.utils
import itertools
import json
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from serving.proxy import Proxy
from serving.servers import LibsqlServer, Nginx, TursoServer
from turso_hooks.drivers import open_database, parse_database_url
from turso_hooks.drivers.faults import retry_after_s
from turso_hooks.errors import DatabaseError, DatabaseUnavailable, DatabaseUnusable, PositionMoved
from turso_hooks.events import MessageAdded, ToolCallFinished, encode
from turso_hooks.journal import JournalFolder, Writer
from turso_hooks.query import Reader
from turso_hooks.shipping import Counts, Shipper
from turso_hooks.shipping.batches import batch_of
from turso_hooks.shipping.sizing import BatchSize
from turso_hooks.shipping.worker import Worker
from turso_hooks.store import prepare_schema

StartNginx = Callable[[str], Nginx]
StartProxy = Callable[[int], Proxy]

MESSAGES = 30
TOKEN = "a-token-nobody-may-see"


class Journal:
    """A journal with messages in it, and attempts to ship them, each by a shipper that knows nothing of the ones before."""

    def __init__(self, folder: JournalFolder) -> None:
        self.folder = folder
        self.writer = Writer(folder, max_bytes=10**9, segment_bytes=10**6)
        for n in range(MESSAGES):
            self.add(f"text {n}", n)
        self._shippers: list[Shipper] = []

    def add(self, content: str, n: int) -> None:
        self.writer.append(encode(MessageAdded(session_id="s", role="user", content=content, message_id=str(n))))

    def shipper(self, url: str, token: str | None = None, timeout_s: float = 5.0, batch_events: int = 1000) -> Shipper:
        database = open_database(parse_database_url(url), auth_token=token, request_timeout_s=timeout_s)
        self._shippers.append(Shipper(database, self.folder, writer=self.writer, batch_events=batch_events, search_index=False))
        return self._shippers[-1]

    def ship(self, url: str, token: str | None = None, timeout_s: float = 5.0) -> Shipper:
        shipper = self.shipper(url, token, timeout_s)
        while shipper.ship_own():
            pass
        return shipper

    def fails(
        self, url: str, kind: type[DatabaseError], words: str, token: str | None = None, timeout_s: float = 5.0
    ) -> DatabaseError:
        with pytest.raises(kind, match=words) as caught:
            self.ship(url, token, timeout_s)
        assert TOKEN not in repr(caught.value) + str(caught.value)
        return caught.value

    def close(self) -> None:
        for shipper in self._shippers:
            shipper.close()
        self.writer.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(JournalFolder(tmp_path / "state", "libsql://x"))
    yield made
    made.close()


def is_whole(server: LibsqlServer | TursoServer, messages: int = MESSAGES) -> bool:
    """Whether every message is there once, and the books say so."""
    found = server.ask("SELECT count(*), count(DISTINCT content), count(DISTINCT sequence) FROM messages")
    records = server.ask("SELECT sum(records), sum(next_number) FROM journal_writers")
    return found == [(messages, messages, messages)] and records == [(messages, messages)]


@pytest.fixture
def front(libsql_server: LibsqlServer, nginx: StartNginx, monkeypatch: pytest.MonkeyPatch) -> Nginx:
    """A proxy with TLS before a server."""
    made = nginx(libsql_server.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.ca_file))
    return made


def test_a_server_that_refuses_connections_is_tried_again(journal: Journal, libsql_server: LibsqlServer) -> None:
    libsql_server.kill()
    journal.fails(libsql_server.url, DatabaseUnavailable, "nothing listens there.*check the address")
    libsql_server.start()
    journal.ship(libsql_server.url)
    assert is_whole(libsql_server)


def test_a_name_that_does_not_resolve_is_tried_again(journal: Journal, libsql_server: LibsqlServer) -> None:
    journal.fails("libsql://no-such-host.invalid", DatabaseUnavailable, "its name cannot be resolved.*TURSO_DATABASE_URL")
    journal.ship(libsql_server.url)
    assert is_whole(libsql_server)


@pytest.mark.parametrize("name", ["münchen.invalid", "a_b.invalid"])
def test_an_odd_name_is_told_as_one(name: str, journal: Journal) -> None:
    journal.fails(f"libsql://{name}", DatabaseUnavailable, "its name cannot be resolved")


def test_a_certificate_nobody_vouches_for_is_not_accepted(
    journal: Journal, front: Nginx, libsql_server: LibsqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    journal.fails(front.url, DatabaseUnusable, "certificate is not to be trusted.*SSL_CERT_FILE", TOKEN)
    assert front.requests() == []
    monkeypatch.setenv("SSL_CERT_FILE", str(front.ca_file))
    journal.ship(front.url, TOKEN)
    assert is_whole(libsql_server)


def test_a_certificate_of_another_host_is_not_accepted(
    journal: Journal, front: Nginx, libsql_server: LibsqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = front.url.rpartition(":")[2]
    journal.fails(f"https://127.1:{port}", DatabaseUnusable, "certificate is not to be trusted", TOKEN)
    assert front.requests() == []


def test_tls_where_there_is_none_names_the_other_scheme(journal: Journal, libsql_server: LibsqlServer) -> None:
    url = libsql_server.url.replace("http:", "libsql:")
    journal.fails(url, DatabaseUnusable, "does not speak TLS.*write http://")
    journal.ship(libsql_server.url)
    assert is_whole(libsql_server)


def test_a_timeout_before_the_commit_loses_nothing(journal: Journal, libsql_server: LibsqlServer, proxy: StartProxy) -> None:
    network = proxy(libsql_server.port)
    network.black_hole = True
    journal.fails(network.url, DatabaseUnavailable, "no answer within 0.2 s", timeout_s=0.2)
    network.black_hole = False
    journal.ship(network.url)
    assert is_whole(libsql_server)


@pytest.mark.parametrize("server", ["libsql_server", "turso_server"])
def test_a_timeout_after_the_commit_counts_nothing_twice(
    server: str, journal: Journal, proxy: StartProxy, request: pytest.FixtureRequest
) -> None:
    real: LibsqlServer | TursoServer = request.getfixturevalue(server)
    network = proxy(real.port)
    shipper = journal.shipper(network.url, timeout_s=1)
    shipper.prepare()
    network.hold_answers.clear()
    # The position is asked for first, so its answer must pass: the batch is the request after it.
    answers = network.answers
    network.hold_answers.set()
    shipper._find_standing(shipper._own)  # type: ignore[arg-type]  # what the first batch would do
    network.wait_until(lambda: network.answers == answers + 1)
    network.hold_answers.clear()
    with pytest.raises(DatabaseUnavailable, match="no answer within 1 s"):
        shipper.ship_own()
    network.wait_until(lambda: network.answers == answers + 2)
    network.hold_answers.set()
    assert is_whole(real)
    while shipper.ship_own():
        pass
    assert is_whole(real)


@pytest.mark.parametrize("server", ["libsql_server", "turso_server"])
def test_a_connection_cut_before_the_answer_counts_nothing_twice(
    server: str, journal: Journal, proxy: StartProxy, request: pytest.FixtureRequest
) -> None:
    real: LibsqlServer | TursoServer = request.getfixturevalue(server)
    network = proxy(real.port)
    shipper = journal.shipper(network.url, batch_events=5)
    network.cut_every = 3
    failures = 0
    while True:
        try:
            if not shipper.ship_own():
                break
        except DatabaseUnavailable as error:
            assert "broke off" in str(error)  # noqa: PT017  # how often is what counts
            failures += 1
            assert failures < 20
    assert network.cuts > 3
    assert network.cuts - failures <= 1  # with statistics nobody is told: they are brought up to date the next time
    assert is_whole(real)


def test_half_an_answer_is_tried_again_and_counts_nothing_twice(
    journal: Journal, libsql_server: LibsqlServer, proxy: StartProxy
) -> None:
    network = proxy(libsql_server.port)
    journal.shipper(network.url).prepare()
    for cut in (0, 5, 40, 300, 450):
        network.truncate_after = cut
        journal.fails(network.url, DatabaseUnavailable, "broke off|not that of a database")
    network.truncate_after = None
    journal.ship(network.url)
    assert is_whole(libsql_server)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (404, DatabaseUnusable, "404 Not Found; no database answers there: check the address"),
        (403, DatabaseUnusable, "403 Forbidden; the token does not allow this: set TURSO_AUTH_TOKEN"),
        (400, DatabaseUnusable, "400 Bad Request"),
        (500, DatabaseUnavailable, "500 Internal Server Error"),
        (502, DatabaseUnavailable, "502 Bad Gateway"),
        (503, DatabaseUnavailable, "503 Service Unavailable"),
    ],
)
def test_an_answer_that_is_an_error_keeps_everything(
    answer: int, kind: type[DatabaseError], words: str, journal: Journal, front: Nginx, libsql_server: LibsqlServer
) -> None:
    front.configure(answer=answer)
    assert journal.fails(front.url, kind, words).code == f"HTTP {answer}"
    front.configure()
    journal.ship(front.url)
    assert is_whole(libsql_server)


def test_a_wrong_token_names_the_variable_and_not_the_token(
    journal: Journal, front: Nginx, libsql_server: LibsqlServer
) -> None:
    front.configure(token="the right one".replace(" ", "-"))
    journal.fails(front.url, DatabaseUnusable, "401 Unauthorized.*set TURSO_AUTH_TOKEN", TOKEN)
    journal.fails(front.url, DatabaseUnusable, "401 Unauthorized.*set TURSO_AUTH_TOKEN")
    journal.ship(front.url, "the-right-one")
    assert is_whole(libsql_server)


def test_the_servers_own_words_about_a_token_are_understood(journal: Journal, guarded_libsql_server: LibsqlServer) -> None:
    server = guarded_libsql_server
    journal.fails(server.url, DatabaseUnusable, "401 Unauthorized: .*set TURSO_AUTH_TOKEN")
    journal.fails(server.url, DatabaseUnusable, "401 Unauthorized: .*set TURSO_AUTH_TOKEN", TOKEN)
    journal.fails(server.url, DatabaseUnusable, "401 Unauthorized: .*set TURSO_AUTH_TOKEN", server.token(expires_in_s=-3600))
    journal.fails(server.url, DatabaseUnusable, "403 Forbidden: .*Write permission", server.token("ro"))
    journal.ship(server.url, server.token())
    assert server.ask("SELECT count(*) FROM messages") == [(MESSAGES,)]


def test_a_token_in_the_url_is_used_and_wins(journal: Journal, guarded_libsql_server: LibsqlServer) -> None:
    server = guarded_libsql_server
    journal.ship(f"{server.url}?authToken={server.token()}", TOKEN)
    assert server.ask("SELECT count(*) FROM messages") == [(MESSAGES,)]


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "ümlaut"])
def test_a_token_that_can_be_none_is_not_sent(token: str, journal: Journal, front: Nginx) -> None:
    journal.fails(front.url, DatabaseUnusable, "characters that no token has", token)
    assert front.requests() == []


def test_a_token_goes_unencrypted_to_this_machine_only(journal: Journal) -> None:
    journal.fails("http://192.0.2.1:8080", DatabaseUnusable, "sent unencrypted.*TURSO_HOOKS_ALLOW_UNENCRYPTED_TOKEN", TOKEN)
    journal.fails("ws://192.0.2.1:8080", DatabaseUnusable, "sent unencrypted.*TURSO_HOOKS_ALLOW_UNENCRYPTED_TOKEN", TOKEN)
    allowed = open_database(
        parse_database_url("http://192.0.2.1:8080"), auth_token=TOKEN, allows_unencrypted=True, request_timeout_s=0.05
    )
    with pytest.raises(DatabaseUnavailable):
        allowed.execute("SELECT 1")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(
    status: int, journal: Journal, front: Nginx, nginx: StartNginx, libsql_server: LibsqlServer
) -> None:
    elsewhere = nginx(libsql_server.url)
    front.configure(answer=status, redirect_to=f"{elsewhere.url}/v2/pipeline")
    journal.fails(front.url, DatabaseUnusable, f"{status} .*redirects to localhost, where no token is sent", TOKEN)
    assert elsewhere.requests() == []


def test_a_blocked_database_is_tried_again(journal: Journal, libsql_server: LibsqlServer) -> None:
    journal.shipper(libsql_server.url).prepare()
    libsql_server.block_writes("the month's writes are used up")
    error = journal.fails(libsql_server.url, DatabaseUnavailable, "month's writes are used up; see the database's plan")
    assert error.code == "BLOCKED"
    libsql_server.unblock()
    journal.ship(libsql_server.url)
    assert is_whole(libsql_server)


def test_what_is_too_large_for_a_proxy_goes_in_smaller_batches(
    journal: Journal, front: Nginx, libsql_server: LibsqlServer
) -> None:
    front.configure(max_body="40k")  # the schema's largest request is smaller, but not all of them in one
    for n in range(MESSAGES, 3 * MESSAGES):
        journal.add(f"{n} " + "x" * 1000, n)
    shipper = journal.ship(front.url)
    assert is_whole(libsql_server, 3 * MESSAGES)
    refusals = [seen for seen in front.requests() if seen.status == 413]
    assert 1 <= len(refusals) <= 5
    assert not shipper.shipped.counts


@pytest.mark.parametrize(("text", "limit"), [("x" * 100_000, "40k"), ("x" * 6_000_000, "64m")])
def test_what_alone_is_too_large_is_cut_and_counted(  # for a proxy's limit on bodies, and for libsql-server's own on values
    text: str, limit: str, journal: Journal, front: Nginx, libsql_server: LibsqlServer, caplog: pytest.LogCaptureFixture
) -> None:
    front.configure(max_body=limit)
    call = ToolCallFinished(session_id="s", tool_call_id="77", tool_name="bash", error=text)
    journal.writer.append(encode(call))
    journal.add("after", 78)
    shipper = journal.ship(front.url)
    assert libsql_server.ask("SELECT count(*) FROM messages") == [(MESSAGES + 1,)]
    (kept,) = libsql_server.ask("SELECT error FROM tool_executions")[0]
    assert isinstance(kept, str)
    assert kept.startswith("xxxx")
    assert f"of {len(text)} bytes]" in kept[-50:]
    assert dict(shipper.shipped.counts) == {"cut": 1}
    assert libsql_server.ask("SELECT reason, count FROM journal_counts") == [("cut", 1)]
    assert caplog.text.count("larger events are cut") == 1


def test_a_text_larger_than_a_server_takes_as_a_value_is_kept_whole(journal: Journal, libsql_server: LibsqlServer) -> None:
    text = "日" * 5_000_000  # 15 MB, and libsql-server 0.24 takes 5
    journal.add(text, 77)
    shipper = journal.ship(libsql_server.url)
    assert not shipper.shipped.counts
    with open_database(parse_database_url(libsql_server.url)) as database:
        assert Reader(database).messages("s").items[-1].content == text


def test_what_is_refused_and_too_large_for_a_dead_letter_is_cut_and_set_aside(
    journal: Journal, libsql_server: LibsqlServer
) -> None:
    journal.shipper(libsql_server.url).prepare()
    libsql_server.ask(
        "CREATE TRIGGER picky BEFORE INSERT ON messages WHEN NEW.content LIKE 'xxx%' BEGIN SELECT RAISE(ABORT, 'never'); END"
    )
    journal.add("x" * 4_999_990, 77)  # the row is taken, its record is a few bytes too long for the server
    journal.add("after", 78)
    shipper = journal.ship(libsql_server.url)
    assert libsql_server.ask("SELECT count(*) FROM messages") == [(MESSAGES + 1,)]
    ((reason, size),) = libsql_server.ask("SELECT reason, length(payload) FROM dead_letters")
    assert "never" in str(reason)
    assert isinstance(size, int)
    assert 1_000_000 < size < 4_000_000
    assert dict(shipper.shipped.counts) == {"cut": 1, "dead_letter": 1}
    assert libsql_server.ask("SELECT records FROM journal_writers") == [(MESSAGES + 2,)]


def test_a_server_that_asks_to_be_left_alone_is(journal: Journal, front: Nginx, libsql_server: LibsqlServer) -> None:
    in_two_minutes = email.utils.format_datetime(datetime.now(timezone.utc) + timedelta(seconds=120), usegmt=True)
    for header in ("120", in_two_minutes):
        front.configure(answer=429, retry_after=header)
        error = journal.fails(front.url, DatabaseUnavailable, "429 Too Many Requests")
        assert isinstance(error, DatabaseUnavailable)
        assert error.retry_after_s == pytest.approx(120, abs=5)
        worker = Worker(journal.shipper(front.url), journal.writer, Counts(), 1)
        worker._failed(error)
        assert worker._retry_at - time.monotonic() > 100
    front.configure()
    journal.ship(front.url)
    assert is_whole(libsql_server)


def test_what_a_server_says_back_of_the_token_is_kept_out_of_every_word(
    journal: Journal, front: Nginx, libsql_server: LibsqlServer
) -> None:
    bodies = (f"no such token: {TOKEN}", json.dumps({"error": f"bad {TOKEN}"}), json.dumps({"results": TOKEN}))
    for status, body in itertools.product((200, 401, 503), bodies):
        front.configure(answer=status, body=body)
        journal.fails(front.url, DatabaseError, "cannot", TOKEN)
        for file in journal.folder.path.iterdir():
            assert TOKEN.encode() not in file.read_bytes()


@pytest.mark.parametrize("begins_at", [0, 30, 190])
def test_what_is_shortened_of_an_answer_holds_no_part_of_the_token(journal: Journal, front: Nginx, begins_at: int) -> None:
    body = "-" * begins_at + TOKEN + " is no token"
    for status, said in itertools.product((200, 401), (body, json.dumps({"error": body}))):
        front.configure(answer=status, body=said)
        error = journal.fails(front.url, DatabaseError, "cannot", TOKEN)
        told = "".join(traceback.format_exception(error)) + repr(error.__cause__)
        assert TOKEN[:8] not in told


def test_a_wrong_token_of_the_url_is_said_to_be_there(journal: Journal, guarded_libsql_server: LibsqlServer) -> None:
    error = journal.fails(f"{guarded_libsql_server.url}?authToken={TOKEN}", DatabaseUnusable, "401")
    assert "set the authToken of the URL" in error.remedy


def test_a_flush_that_comes_while_an_attempt_fails_gets_one_of_its_own(
    journal: Journal, front: Nginx, libsql_server: LibsqlServer, proxy: StartProxy
) -> None:
    network = proxy(front.port)
    front.configure(answer=503, retry_after=300)
    network.hold_answers.clear()
    worker = Worker(journal.shipper(network.url), journal.writer, Counts(), 0.01)
    worker.start()
    network.wait_until(lambda: network.answers == 1)
    front.configure()
    with ThreadPoolExecutor() as pool:
        shipped = pool.submit(worker.wait_shipped, time.monotonic() + 10)
        while not worker._is_wanted:
            worker._thread.join(0.01)
        network.hold_answers.set()
        assert shipped.result()
    worker.stop(time.monotonic() + 5)
    assert is_whole(libsql_server)


def test_what_never_gets_through_is_cut_once_it_is_known_that_smaller_ones_do(
    journal: Journal, libsql_server: LibsqlServer, proxy: StartProxy
) -> None:
    network = proxy(libsql_server.port)
    network.reset_over = 300_000
    journal.add("x" * 1_000_000, MESSAGES)
    journal.add("after", MESSAGES + 1)
    shipper = journal.shipper(network.url)
    shipper.prepare()
    failures = 0
    while failures < 60 and not is_whole(libsql_server, MESSAGES + 2):
        try:
            shipper.ship_own()
        except DatabaseUnavailable:
            failures += 1
    assert is_whole(libsql_server, MESSAGES + 2)
    assert libsql_server.ask("SELECT reason, count FROM journal_counts") == [("cut", 1)]


def test_a_first_record_that_never_gets_through_is_cut_too(
    libsql_server: LibsqlServer, proxy: StartProxy, tmp_path: Path
) -> None:
    network = proxy(libsql_server.port)
    folder = JournalFolder(tmp_path / "state", "libsql://y")
    for n in range(2):  # two processes that are gone; nothing of theirs came before
        writer = Writer(folder, max_bytes=10**9, segment_bytes=10**7)
        writer.append(encode(MessageAdded(session_id="s", role="user", content=str(n) * 1_000_000, message_id=str(n))))
        writer.close()
    with open_database(parse_database_url(network.url), request_timeout_s=5) as database:
        shipper = Shipper(database, folder)
        shipper.prepare()
        network.reset_over = 300_000
        for _ in range(60):
            try:
                while shipper.adopt():
                    while shipper.ship_adopted():
                        pass
            except DatabaseUnavailable:
                continue
            break
        shipper.close()
    assert libsql_server.ask("SELECT sum(count) FROM journal_counts") == [(2,)]
    assert libsql_server.ask("SELECT sum(records), sum(next_number), count(*) FROM journal_writers") == [(2, 2, 2)]


def test_what_had_no_answer_while_the_line_was_down_is_whole_once_it_is_up(
    journal: Journal, libsql_server: LibsqlServer, proxy: StartProxy
) -> None:
    network = proxy(libsql_server.port)
    shipper = journal.ship(network.url)
    journal.add("x" * 1_000_000, MESSAGES)
    network.reset_over = 500  # reading a position gets through, a write does not
    for _ in range(30):
        with pytest.raises(DatabaseUnavailable):
            shipper.ship_own()
    network.reset_over = None
    while shipper.ship_own():
        pass
    assert is_whole(libsql_server, MESSAGES + 1)
    assert libsql_server.ask("SELECT count(*) FROM journal_counts") == [(0,)]


def test_while_nothing_gets_through_nothing_is_cut(journal: Journal, libsql_server: LibsqlServer, proxy: StartProxy) -> None:
    network = proxy(libsql_server.port)
    journal.add("x" * 1_000_000, MESSAGES)
    shipper = journal.shipper(network.url)
    shipper.prepare()
    network.reset_over = 0
    for _ in range(40):
        with pytest.raises(DatabaseUnavailable):
            shipper.ship_own()
    network.reset_over = None
    while shipper.ship_own():
        pass
    assert is_whole(libsql_server, MESSAGES + 1)
    assert libsql_server.ask("SELECT max(length(content)) FROM messages") == [(1_000_000,)]


def test_retry_after_is_seconds_or_a_date_and_never_more_than_ten_minutes() -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    given = [
        "7",
        "0.5",
        "-3",
        "86400",
        "nan",
        "soon",
        "",
        "Thu, 01 Jan 2026 00:00:30 GMT",
        "Wed, 31 Dec 2025 23:00:00 GMT",
        None,
    ]
    assert [retry_after_s(header, now) for header in given] == [7, 0.5, 0, 600, None, None, None, 30, 0, None]


@pytest.mark.parametrize(
    "body", ["<html>Please log in</html>", "", "{}", '{"results": []}', '{"results": [{"type": "odd"}, {}]}']
)
def test_an_answer_that_is_no_databases_is_tried_again(
    body: str, journal: Journal, front: Nginx, libsql_server: LibsqlServer
) -> None:
    front.configure(answer=200, body=body)
    journal.fails(front.url, DatabaseUnavailable, "the answer is not that of a database")
    front.configure()
    journal.ship(front.url)
    assert is_whole(libsql_server)


@pytest.mark.parametrize("server", ["libsql_server", "turso_server"])
def test_a_row_the_server_refuses_is_set_aside_alone(server: str, journal: Journal, request: pytest.FixtureRequest) -> None:
    real: LibsqlServer | TursoServer = request.getfixturevalue(server)
    with open_database(parse_database_url(real.url)) as database:
        prepare_schema(database)
        database.execute(
            "CREATE TRIGGER picky BEFORE INSERT ON messages WHEN NEW.content = 'text 7' BEGIN SELECT RAISE(ABORT, 'never'); END"
        )
    journal.ship(real.url)
    assert real.ask("SELECT count(*) FROM messages") == [(MESSAGES - 1,)]
    ((number, reason),) = real.ask("SELECT number, reason FROM dead_letters")
    assert number == 7
    assert "never" in str(reason)
    assert real.ask("SELECT records FROM journal_writers") == [(MESSAGES,)]


@pytest.mark.parametrize("server", ["libsql_server", "turso_server"])
def test_a_batch_that_lands_after_another_shipper_took_over_changes_nothing(
    server: str, journal: Journal, request: pytest.FixtureRequest
) -> None:
    real: LibsqlServer | TursoServer = request.getfixturevalue(server)
    late = journal.shipper(real.url, batch_events=10)
    assert late.ship_own()
    own = late._own
    assert own is not None
    assert own.standing.position is not None
    batch = batch_of(own, [], own.standing.position, Counter())
    journal.ship(real.url)
    assert is_whole(real)
    from turso_hooks.store import write_batch

    with pytest.raises(PositionMoved):
        write_batch(late._database, batch, datetime.now(timezone.utc))
    assert is_whole(real)


@pytest.mark.slow
def test_a_server_that_is_slow_gets_less_at_once(journal: Journal, libsql_server: LibsqlServer) -> None:
    shipper = journal.shipper(libsql_server.url, timeout_s=30)
    shipper.prepare()
    count_slowly = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 400000) SELECT max(n) FROM c"
    libsql_server.ask(f"CREATE TRIGGER slow AFTER INSERT ON messages BEGIN SELECT ({count_slowly}); END")
    sizes = []
    while shipper.ship_own():
        sizes.append(shipper.shipped.records - sum(sizes))
    assert sizes[0] == MESSAGES
    for n in range(MESSAGES, 2 * MESSAGES):
        journal.add(f"text {n}", n)
    while shipper.ship_own():
        sizes.append(shipper.shipped.records - sum(sizes))
    assert sum(sizes) == 2 * MESSAGES
    assert sizes[1] < MESSAGES
    assert is_whole(libsql_server, 2 * MESSAGES)


def test_a_batch_stays_as_it_is_where_every_request_takes_long_however_small() -> None:
    size = BatchSize(1000, 10**6)
    for _ in range(60):
        size.took(1.2 + 0.0002 * size.records, size.records, 100 * size.records)
    assert size.records == 1000
    for _ in range(13):
        size.failed(0.01, size.records, size.bytes)
    assert size.records == 1
    for _ in range(20):
        size.took(0.6, size.records, 100 * size.records)
    assert size.records == 1000


def test_a_batch_gets_smaller_when_it_takes_long_and_larger_when_it_does_not() -> None:
    size = BatchSize(1000, 10**6)
    size.took(4.0, 1000, 800_000)
    assert (size.records, size.bytes) == (250, 200_000)
    size.took(0.7, 250, 200_000)
    assert (size.records, size.bytes) == (250, 200_000)
    size.took(0.1, 250, 200_000)
    assert (size.records, size.bytes) == (500, 400_000)
    size.failed(0.01, 500, 400_000)
    assert size.records == 500
    size.failed(30.0, 1, 400_000)
    assert (size.records, size.bytes) == (1, 13_333)
    size.was_too_large(13_333)
    for _ in range(20):
        size.took(0.1, 1, 100)
    assert (size.records, size.bytes) == (1000, 6666)
