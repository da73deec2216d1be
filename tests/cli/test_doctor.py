from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from serving.proxy import Proxy
from serving.servers import LibsqlServer, Nginx, TursoServer, free_port
from turso_hooks.cli.checks import server
from turso_hooks.cli.checks.secrets import hiding
from turso_hooks.drivers import EmbeddedDatabase, Statement, open_database, parse_database_url
from turso_hooks.drivers.access import Access
from turso_hooks.drivers.probing import Encryption, claims_of
from turso_hooks.drivers.urls import Server
from turso_hooks.errors import DatabaseUnusable
from turso_hooks.journal import JournalFolder
from turso_hooks.settings import Settings
from turso_hooks.shipping.contact import ContactLog
from turso_hooks.store import prepare_schema
from turso_hooks.store.migrations import LATEST, MIGRATIONS, statements_of

Run = Callable[..., subprocess.CompletedProcess[str]]
Steps = dict[str, dict[str, object]]
Doctor = Callable[..., Steps]
StartNginx = Callable[[str], Nginx]

SERVER_STEPS = ["settings", "address", "tls", "token", "protocol", "schema", "write", "round trip", "journal"]
FILE_STEPS = ["settings", "file", "schema", "write", "round trip", "journal"]
NOWHERE = "http://127.0.0.1:1"  # what nginx would pass on to, if it did
TOKEN = "a-secret-that-nobody-may-see"


@pytest.fixture
def doctor(run: Run) -> Doctor:
    """The steps by name, as `--json` has them; the exit code and what is printed for people fit to them."""

    def doctor(url: str, *arguments: str, **environment: str) -> Steps:
        given = {"TURSO_DATABASE_URL": url, "TURSO_HOOKS_REQUEST_TIMEOUT_S": "2", **environment}
        result = run("doctor", "--json", *arguments, **given)
        said = json.loads(result.stdout)
        steps: Steps = {step["step"]: step for step in said["steps"]}
        is_healthy = all(step["outcome"] != "failed" for step in steps.values())
        assert (said["healthy"], result.returncode, result.stderr) == (is_healthy, 0 if is_healthy else 1, "")
        for step in steps.values():
            assert bool(step["remedy"]) == (step["outcome"] in {"failed", "warning"}), step
        return steps

    return doctor


def outcomes(steps: Steps) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    for name, step in steps.items():
        found.setdefault(str(step["outcome"]), []).append(name)
    return found


def assert_fails(steps: Steps, name: str, found: str, remedy: str) -> None:
    """Only this step fails, it says so, and what to do; what needs it is not tried, and what does not, is."""
    assert outcomes(steps)["failed"] == [name], steps
    assert found in str(steps[name]["found"])
    assert remedy in str(steps[name]["remedy"])
    assert steps["journal"]["outcome"] != "skipped"


def prepared(url: str) -> None:
    with open_database(parse_database_url(url)) as database:
        prepare_schema(database)


def journal_of(url: str) -> JournalFolder:
    folder = JournalFolder(Path(os.environ["TURSO_HOOKS_STATE_FOLDER"]), parse_database_url(url).name)
    folder.create()
    return folder


@pytest.mark.parametrize("kind", ["libsql_server", "turso_server"])
def test_a_server_in_order_is_said_to_be_and_nothing_is_left_there(
    doctor: Doctor, kind: str, request: pytest.FixtureRequest
) -> None:
    serving: LibsqlServer | TursoServer = request.getfixturevalue(kind)
    steps = doctor(serving.url)
    assert outcomes(steps) == {"ok": SERVER_STEPS}
    assert "none yet" in str(steps["schema"]["found"])
    assert "median" in str(steps["round trip"]["found"])
    assert ("sqld" in str(steps["protocol"]["found"])) == (kind == "libsql_server")
    tables = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'libsql%' AND name NOT LIKE 'sqlite%'"
    assert serving.ask(tables) == []
    prepared(serving.url)
    before = serving.ask(tables)
    steps = doctor(serving.url)
    assert outcomes(steps) == {"ok": SERVER_STEPS}
    assert f"version {LATEST}" in str(steps["schema"]["found"])
    assert "a row was written" in str(steps["write"]["found"])
    assert serving.ask(tables) == before
    assert serving.ask("SELECT count(*) FROM journal_counts") == [(0,)]


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_a_libsql_server_that_may_stop_where_several_write_is_warned_about(doctor: Doctor, tmp_path: Path, scheme: str) -> None:
    server = LibsqlServer(tmp_path / "as it comes")
    server.checkpoints = []
    server.start()
    try:
        steps = doctor(server.url.replace("http", scheme))
    finally:
        server.kill()
    assert outcomes(steps)["warning"] == ["protocol"]
    assert "may stop for good" in str(steps["protocol"]["found"])
    assert "--checkpoint-interval-s 10" in str(steps["protocol"]["remedy"])


def test_through_tls_with_a_token_everything_is_seen_and_no_secret_shown(
    run: Run, guarded_libsql_server: LibsqlServer, nginx: StartNginx
) -> None:
    front = nginx(guarded_libsql_server.url)
    token = guarded_libsql_server.token(expires_in_s=10 * 86400)
    for url, given in ((front.url, token), (f"{front.url}?authToken={token}", "")):
        environment = {"TURSO_DATABASE_URL": url, "TURSO_AUTH_TOKEN": given, "SSL_CERT_FILE": str(front.ca_file)}
        for arguments in ((), ("--json",)):
            result = run("doctor", *arguments, **environment)
            assert result.returncode == 0, result.stdout
            assert "TLSv1." in result.stdout
            assert "turso-hooks tests" in result.stdout
            assert "for reading and writing; it expires on 20" in result.stdout
            assert not any(part in result.stdout + result.stderr for part in (token, *token.split(".")))
            assert "authToken=" not in result.stdout


def test_people_are_shown_one_line_a_step_and_the_remedy_below_it(
    run: Run, in_terminal: Callable[..., str], database: Path
) -> None:
    result = run("doctor", "--db", "http://127.0.0.1:1")
    lines = result.stdout.splitlines()
    assert (result.returncode, result.stderr, "\x1b" in result.stdout) == (1, "", False)
    assert "!!  address     nothing listens there (connection refused)" in lines
    assert "                -> check the address in TURSO_DATABASE_URL, and that the server runs" in lines
    assert "--  tls         not tried, because of the step address" in lines
    assert lines[-1] == "1 step failed"
    assert "\x1b[32mok" in in_terminal("doctor", "--db", f"file:{database}")


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colours_or_has_none_gets_none(
    in_terminal: Callable[..., str], database: Path, environment: dict[str, str]
) -> None:
    shown = in_terminal("doctor", "--db", f"file:{database}", **environment)
    assert ("ok  settings" in shown, "\x1b" in shown) == (True, False)


def test_a_name_that_does_not_resolve_stops_all_but_the_journal(doctor: Doctor) -> None:
    steps = doctor("libsql://agents.invalid")
    assert_fails(steps, "address", "cannot be resolved", "check the address")
    assert outcomes(steps)["skipped"] == SERVER_STEPS[2:-1]


@pytest.mark.parametrize("url", ["libsql://agents..turso.io", "http://.:1", f"libsql://{'a' * 64}.turso.io"])
def test_a_name_that_can_be_none_is_a_matter_of_the_settings(doctor: Doctor, url: str) -> None:
    assert_fails(doctor(url), "settings", "a host name that cannot be one", "TURSO_DATABASE_URL=")


def test_authorities_that_cannot_be_read_are_warned_of_where_there_is_encryption(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    for file, said in (
        ("/nope", "No such file"),
        (str(tmp_path), "Is a directory"),
        (f"{tmp_path}/empty", "there is none in it"),
    ):
        step = doctor("libsql://agents.invalid", SSL_CERT_FILE=file)["settings"]
        assert step["outcome"] == "warning"
        assert f"SSL_CERT_FILE={file} names no certificate ({said}" in str(step["found"])
        assert "SSL_CERT_FILE, or unset it" in str(step["remedy"])
        for other in ("http://127.0.0.1:1", f"file:{tmp_path}/a.db"):
            assert doctor(other, SSL_CERT_FILE=file)["settings"]["outcome"] == "ok"


def test_nothing_that_listens_is_a_matter_of_the_address(doctor: Doctor) -> None:
    assert_fails(doctor(f"http://127.0.0.1:{free_port()}"), "address", "nothing listens there", "that the server runs")


def test_a_certificate_that_nobody_vouches_for_stops_everything_before_the_token_is_sent(
    doctor: Doctor, nginx: StartNginx
) -> None:
    front = nginx(NOWHERE)
    steps = doctor(front.url, TURSO_AUTH_TOKEN=TOKEN)
    assert_fails(steps, "tls", "not to be trusted", "SSL_CERT_FILE")
    assert outcomes(steps)["skipped"] == SERVER_STEPS[3:-1]
    assert front.requests() == []


def test_tls_where_there_is_none_names_the_other_scheme(doctor: Doctor, nginx: StartNginx) -> None:
    front = nginx(NOWHERE)
    assert_fails(doctor(front.http_url.replace("http:", "libsql:")), "tls", "does not speak TLS", "write http://")


def test_a_token_that_is_missing_wrong_or_expired_is_told_apart(doctor: Doctor, guarded_libsql_server: LibsqlServer) -> None:
    guarded = guarded_libsql_server
    assert_fails(doctor(guarded.url), "token", "none is set; the server answered 401", "set TURSO_AUTH_TOKEN")
    assert_fails(doctor(guarded.url, TURSO_AUTH_TOKEN=TOKEN), "token", "one is set; the server answered 401", "turso db tokens")
    steps = doctor(guarded.url, TURSO_AUTH_TOKEN=guarded.token(expires_in_s=-7200))
    assert_fails(steps, "token", "expired on 20", "set TURSO_AUTH_TOKEN")
    assert outcomes(steps)["skipped"] == SERVER_STEPS[4:-1]
    with_url = doctor(f"{guarded.url}?authToken={guarded.token(expires_in_s=-7200)}")
    assert_fails(with_url, "token", "expired on 20", "the authToken of the URL")


def test_a_token_that_may_only_read_is_seen_and_fails_at_the_write(doctor: Doctor, guarded_libsql_server: LibsqlServer) -> None:
    steps = doctor(guarded_libsql_server.url, TURSO_AUTH_TOKEN=guarded_libsql_server.token("ro"))
    assert_fails(steps, "write", "the token does not allow writing", "a token that may write")
    assert "for reading only" in str(steps["token"]["found"])
    assert (steps["token"]["outcome"], steps["round trip"]["outcome"]) == ("warning", "ok")


def test_a_token_that_cannot_be_sent_is_not(doctor: Doctor, nginx: StartNginx) -> None:
    front = nginx(NOWHERE)
    assert_fails(doctor(front.http_url, TURSO_AUTH_TOKEN="two words"), "token", "characters that no token has", "once more")
    assert front.requests() == []


def test_where_no_database_answers_it_says_what_does(doctor: Doctor, nginx: StartNginx) -> None:
    front = nginx(NOWHERE)
    front.configure(answer=404)
    assert_fails(doctor(front.http_url), "protocol", "answered 404", "no database answers there")
    front.configure(answer=200, body="<html><body>Welcome</body></html>")
    steps = doctor(front.http_url, TURSO_AUTH_TOKEN=TOKEN)
    assert_fails(steps, "protocol", "not that of a database", "check the address")
    assert steps["token"]["outcome"] == "skipped"
    front.configure(answer=503, retry_after=7)
    assert_fails(doctor(front.http_url), "protocol", "left alone for 7 s", "try again")


def test_what_a_server_echoes_of_the_token_is_not_shown(run: Run, nginx: StartNginx) -> None:
    front = nginx(NOWHERE)
    front.configure(answer=401, body=json.dumps({"error": f"cannot take {TOKEN}"}))
    for url, token in ((front.http_url, TOKEN), (f"{front.http_url}?authToken={TOKEN}", "")):
        for arguments in ((), ("--json",)):
            result = run("doctor", *arguments, TURSO_DATABASE_URL=url, TURSO_AUTH_TOKEN=token)
            assert "cannot take [token]" in result.stdout
            assert TOKEN not in result.stdout + result.stderr


def test_writes_that_are_blocked_fail_alone(doctor: Doctor, libsql_server: LibsqlServer) -> None:
    libsql_server.block_writes("the quota is used up")
    steps = doctor(libsql_server.url)
    assert_fails(steps, "write", "the quota is used up", "plan and quota")
    assert steps["round trip"]["outcome"] == "ok"


def test_a_server_that_is_silent_is_waited_for_no_longer_than_the_settings_say(
    doctor: Doctor, proxy: Callable[[int], Proxy], libsql_server: LibsqlServer
) -> None:
    network = proxy(libsql_server.port)
    network.black_hole = True
    steps = doctor(network.url, TURSO_HOOKS_REQUEST_TIMEOUT_S="0.2")
    assert_fails(steps, "protocol", "no answer within 0.2 s", "try again")
    steps = doctor(network.url.replace("http:", "libsql:"), TURSO_HOOKS_REQUEST_TIMEOUT_S="0.2")
    assert_fails(steps, "tls", "no answer within 0.2 s", "try again")


def test_the_keyboard_stops_it_in_a_sentence(proxy: Callable[[int], Proxy], libsql_server: LibsqlServer) -> None:
    network = proxy(libsql_server.port)
    network.black_hole = True
    command = [sys.executable, "-m", "turso_hooks.cli.main", "doctor", "--db", network.url]
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    network.wait_until(lambda: network.connections >= 2)
    waiting.send_signal(signal.SIGINT)
    stdout, stderr = waiting.communicate(timeout=10)
    assert (waiting.returncode, stderr.strip()) == (1, "turso-hooks: stopped")
    assert "ok  address" in stdout


def test_a_websocket_has_the_same_steps(doctor: Doctor, libsql_server: LibsqlServer) -> None:
    steps = doctor(libsql_server.ws_url)
    assert outcomes(steps) == {"ok": SERVER_STEPS}
    assert "WebSocket" in str(steps["protocol"]["found"])


def test_over_a_websocket_a_token_that_is_missing_or_for_reading_only_is_seen_too(
    doctor: Doctor, guarded_libsql_server: LibsqlServer
) -> None:
    assert_fails(doctor(guarded_libsql_server.ws_url), "token", "none is set", "set TURSO_AUTH_TOKEN")
    steps = doctor(guarded_libsql_server.ws_url, TURSO_AUTH_TOKEN=guarded_libsql_server.token("ro"))
    assert_fails(steps, "write", "the token does not allow writing", "a token that may write")


def test_a_schema_that_is_older_newer_or_anothers_is_told_apart_and_not_touched(
    doctor: Doctor, turso_server: TursoServer
) -> None:
    with open_database(parse_database_url(turso_server.url)) as database:
        database.transaction([Statement(sql) for sql in statements_of(MIGRATIONS[0])])
    steps = doctor(turso_server.url)
    assert (steps["schema"]["outcome"], steps["write"]["outcome"]) == ("warning", "ok")
    assert "turso-hooks migrate" in str(steps["schema"]["remedy"])
    turso_server.ask("CREATE TABLE notes (text TEXT)")
    assert_fails(doctor(turso_server.url), "schema", "notes", "name another database")
    turso_server.ask("INSERT INTO schema_version (version) VALUES (99)")
    steps = doctor(turso_server.url)
    assert_fails(steps, "schema", "version 99", "pip install --upgrade")
    assert (steps["write"]["outcome"], steps["round trip"]["outcome"]) == ("skipped", "ok")
    assert turso_server.ask("SELECT max(version) FROM schema_version") == [(99,)]


def test_a_file_in_order_stays_as_it_is(doctor: Doctor, database: Path, settings: Settings) -> None:
    prepared(f"file:{database}")
    before = database.read_bytes()
    assert outcomes(doctor(f"file:{database}")) == {"ok": FILE_STEPS}
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM journal_counts").fetchone() == (0,)
    assert len(database.read_bytes()) == len(before)
    assert not settings.state_folder.exists()


def test_a_file_that_is_not_there_is_not_made(doctor: Doctor, database: Path) -> None:
    steps = doctor(f"file:{database}")
    assert outcomes(steps) == {"ok": ["settings", "file", "journal"], "skipped": ["schema", "write", "round trip"]}
    assert list(database.parent.iterdir()) == []


def test_another_programs_file_keeps_its_journal_mode_and_its_tables(doctor: Doctor, database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE theirs (n)")
        connection.commit()
    steps = doctor(f"file:{database}")
    assert outcomes(steps) == {"ok": FILE_STEPS}
    assert "journal mode delete" in str(steps["file"]["found"])
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
        connection.execute("CREATE TABLE sessions (id)")
        connection.commit()
    assert_fails(doctor(f"file:{database}"), "schema", "another program's tables", "name another database")
    assert [path.name for path in database.parent.iterdir()] == [database.name]


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_file_is_not_brought_up_to_date(doctor: Doctor, database: Path, version: int) -> None:
    with closing(sqlite3.connect(database)) as connection:
        for migration in MIGRATIONS[:version]:
            for sql in migration.statements:
                connection.execute(sql)
            connection.execute("INSERT INTO schema_version (version) VALUES (?)", (migration.version,))
        connection.commit()
    steps = doctor(f"file:{database}")
    assert outcomes(steps)["warning"] == ["schema"]
    assert "turso-hooks migrate" in str(steps["schema"]["remedy"])
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT max(version) FROM schema_version").fetchone() == (version,)


def test_a_file_that_is_no_database_a_folder_or_nowhere_is_said_so(doctor: Doctor, database: Path) -> None:
    database.write_bytes(b"rubbish" * 1000)
    assert_fails(doctor(f"file:{database}"), "file", "not a database", "name another file")
    assert_fails(doctor(f"file:{database.parent}"), "file", "is a folder", "name a file")
    missing = database.parent / "not there" / "a.db"
    steps = doctor(f"file:{str(missing).replace(' ', '%20')}")
    assert_fails(steps, "file", "is not there", f"mkdir -p '{missing.parent}'")
    assert_fails(doctor("file:/proc/self/a.db"), "file", "no files can be made", "chmod")  # not even by root


def test_a_file_that_another_program_holds_is_not_waited_for_without_end(doctor: Doctor, database: Path) -> None:
    prepared(f"file:{database}")
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        steps = doctor(f"file:{database}", TURSO_HOOKS_REQUEST_TIMEOUT_S="0.2")
        assert_fails(steps, "write", "locked", "another program holds the database")
        other.execute("ROLLBACK")
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        steps = doctor(f"file:{database}", TURSO_HOOKS_REQUEST_TIMEOUT_S="0.2")
        assert_fails(steps, "file", "locked", "another program holds the database")


def test_without_a_database_or_with_a_wrong_url_the_settings_fail_and_the_journal_is_looked_at(doctor: Doctor) -> None:
    assert_fails(doctor(""), "settings", "no database is named", "TURSO_DATABASE_URL=file:agents.db")
    steps = doctor("agents.db")
    assert_fails(steps, "settings", "did you mean file:agents.db", "TURSO_DATABASE_URL=file:agents.db")
    assert outcomes(steps)["skipped"] == ["schema", "write", "round trip"]


def test_all_wrong_variables_are_named_at_once_and_the_rest_goes_on(doctor: Doctor, database: Path) -> None:
    wrong = {"TURSO_HOOKS_BATCH_EVENTS": "many", "TURSO_HOOKS_FSYNC": "perhaps", "TURSO_HOOKS_BATCH_EVENT": "1"}
    steps = doctor(f"file:{database}", **wrong)
    assert_fails(steps, "settings", "TURSO_HOOKS_BATCH_EVENTS must be", "correct TURSO_HOOKS_FSYNC")
    assert "write TURSO_HOOKS_BATCH_EVENTS instead of TURSO_HOOKS_BATCH_EVENT" in str(steps["settings"]["remedy"])
    assert steps["file"]["outcome"] == "ok"
    steps = doctor(f"file:{database}", TURSO_HOOKS_STATE_FOLDER="~nobody-of-this-name/x")
    assert outcomes(steps) | {"ok": []} == {
        "ok": [],
        "failed": ["settings"],
        "skipped": ["schema", "write", "round trip", "journal"],
    }


@pytest.mark.parametrize("url", [f"agents.db?authToken={TOKEN}", f"libsql://{TOKEN}@host", f"libsql://host?token={TOKEN}"])
def test_what_is_secret_in_a_wrong_url_is_not_shown(run: Run, url: str) -> None:
    for arguments in ((), ("--json",)):
        for given in ({"TURSO_DATABASE_URL": url}, {}):
            result = run("doctor", *arguments, *(() if given else ("--db", url)), **given)
            assert (result.returncode, result.stderr) == (1, "")
            assert TOKEN not in result.stdout


@pytest.mark.parametrize("where", ["file", "nowhere"])
def test_a_journal_that_can_take_nothing_fails_beside_a_database_in_order(
    doctor: Doctor, database: Path, tmp_path: Path, where: str
) -> None:
    (tmp_path / "taken").write_text("a file")
    state_folder = {"file": str(tmp_path / "taken"), "nowhere": "/proc/self/state"}[where]
    steps = doctor(f"file:{database}", TURSO_HOOKS_STATE_FOLDER=state_folder)
    assert_fails(steps, "journal", "takes no files", "TURSO_HOOKS_STATE_FOLDER")


def test_what_waits_who_may_look_and_what_last_went_wrong_are_told_of_the_journal(
    doctor: Doctor, database: Path, tmp_path: Path
) -> None:
    url = f"file:{database}"
    folder = journal_of(url)
    ContactLog(folder).failed("cannot write a batch: no luck with eyJhbGciOiJFZERTQSJ9.eyJhIjoicm8ifQ.c2ln")
    (folder.path / f"{'0' * 32}.00000001.v1.segment").write_bytes(b"x" * 2048)
    (folder.path / f"{'0' * 32}.00000001.v9.segment").write_bytes(b"x")
    folder.path.chmod(0o755)
    steps = doctor(url)
    assert outcomes(steps)["warning"] == ["journal"]
    found, remedy = str(steps["journal"]["found"]), str(steps["journal"]["remedy"])
    for said in ("mode 0755", "2.0 KiB wait in 1 file", "left behind", "of another version", "no luck with ***"):
        assert said in found
    assert "turso-hooks drain" in remedy
    assert f"chmod 700 {folder.path}" in remedy
    full = doctor(url, TURSO_HOOKS_JOURNAL_MAX_BYTES="1000")
    assert_fails(full, "journal", "new events are refused", "TURSO_HOOKS_JOURNAL_MAX_BYTES")
    folder.path.chmod(0o700)
    shutil.rmtree(folder.path)
    small = doctor(url, TURSO_HOOKS_JOURNAL_MAX_BYTES=str(10**18))
    assert "may grow to" in str(small["journal"]["found"])
    assert "make room" in str(small["journal"]["remedy"])


def test_wrong_usage_is_not_a_diagnosis(run: Run) -> None:
    assert run("doctor", "--what").returncode == 2


def test_a_certificate_is_warned_of_in_the_last_part_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    there = Server("https", "db.example", 443)
    for left, outcome in ((30, "ok"), (8, "warning")):
        found = Encryption("TLSv1.3", "Someone", now - timedelta(days=90 - left), now + timedelta(days=left))
        monkeypatch.setattr(server, "encryption_of", lambda *_, found=found: found)
        step = server.tls_step("libsql://db.example", there, 1, now)
        assert (step.outcome, f"good for {left} more days" in step.found) == (outcome, True)


def test_without_encryption_another_machine_is_warned_of_and_gets_no_token() -> None:
    there = Server("http", "db.example", 80)
    step = server.tls_step("http://db.example", there, 1)
    assert (step.outcome, "https://" in step.remedy) == ("warning", True)
    assert step.found == "not encrypted (http://): whoever is on the way can read the conversations"
    with pytest.raises(DatabaseUnusable, match="sent unencrypted.*ALLOW_UNENCRYPTED_TOKEN"):
        answer = server.Answer(EmbeddedDatabase(Path()), there, 1)
        server.token_step(Access(there, TOKEN), parse_database_url("http://db.example"), answer)


@pytest.mark.parametrize("token", ["", "plain", "a.b.c", "a.!!!.c", "eyJh.bnVsbA.c", "eyJh.eyJleHAiOjFlOTk5fQ.c", "ä.ö.ü"])
def test_what_is_no_jwt_says_nothing_of_itself(token: str) -> None:
    assert claims_of(token) == (None, None)


def test_secrets_are_taken_out_and_names_are_left() -> None:
    hide = hiding("libsql://me:hunter22@db.example/p?authToken=s3cr%65t-one&tls=1", "token-two ")
    text = "db.example hunter22 s3cr%65t-one s3cret-one token-two tls=1 eyJhbGciOi.eyJhIjo.c2ln file:agents.db"
    assert hide(text) == "db.example *** *** *** *** tls=1 *** file:agents.db"
