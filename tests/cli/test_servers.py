"""Every command on a real server, and where the token may not be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.proxy import Proxy
from serving.servers import LibsqlServer, Nginx
from turso_hooks.store.migrations import LATEST

Run = Callable[..., subprocess.CompletedProcess[str]]
Child = Callable[..., subprocess.Popen[str]]

LOGS = """
    import sys
    import turso_hooks

    hook = turso_hooks.get_plugin_manager().hook
    for n in range(int(sys.argv[1])):
        hook.message_added(event=turso_hooks.MessageAdded(session_id="s", role="user", content=f"{n} {sys.argv[2]}"))
    print(turso_hooks.flush(float(sys.argv[3])).is_complete)
"""


@pytest.fixture(
    params=[
        "turso_server",
        pytest.param("libsql_server", marks=pytest.mark.slow),
        pytest.param("libsql_server over a WebSocket", marks=pytest.mark.slow),
    ]
)
def url(request: pytest.FixtureRequest) -> str:
    server = request.getfixturevalue(request.param.partition(" ")[0])
    return str(server.ws_url if "WebSocket" in request.param else server.url)


def test_every_command_works_on_a_server_as_on_a_file(url: str, run: Run, child: Child, tmp_path: Path) -> None:
    (tmp_path / "chat.json").write_text('[{"role": "user", "content": "hello"}]', encoding="utf-8")
    environment = {"TURSO_DATABASE_URL": url}
    migrated = run("migrate", "--json", **environment)
    assert (migrated.stderr, json.loads(migrated.stdout)["applied"]) == ("", list(range(1, LATEST + 1)))
    demo = run("demo", "--db", url, "--json")
    assert (demo.stderr, demo.returncode) == ("", 0)
    session = json.loads(demo.stdout)["session"]
    assert (session["title"], session["status"], session["message_count"]) == ("A weekend in Lisbon", "completed", 9)
    imported = run("import", "openai-chat", "chat.json", **environment)
    assert f"1 session, 1 message and 0 tool calls are in {url}" in imported.stdout
    assert run("sessions", **environment).stdout.count("\n") == 3
    assert "get_climate" in run("show", session["session_id"][:18], **environment).stdout
    killed = child(LOGS, "5", "left behind", "0", TURSO_DATABASE_URL=url, TURSO_HOOKS_SHIP_INTERVAL_S="600")
    assert killed.stdout is not None
    assert killed.stdout.readline() in {"True\n", "False\n"}
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    drained = run("drain", "--json", **environment)
    assert (drained.stderr, json.loads(drained.stdout)["database"]) == ("", url)
    assert "5 messages" in run("show", "s", **environment).stdout
    state = json.loads(run("status", "--json", **environment).stdout)["targets"][0]
    assert (state["waiting_records"], state["unread"], state["problem"], state["target"]) == (0, None, None, url)
    assert state["shipped_records"] > 30
    assert "there are no dead letters" in run("journal", "dead-letters", **environment).stderr


@pytest.mark.parametrize(
    "program",
    [
        "import asyncio; asyncio.run(agent(asyncio.sleep))",
        "import trio; trio.run(agent, trio.sleep)",
        "import threading; threading.Thread(target=log_all).start()",
        "import signal; signal.signal(signal.SIGUSR1, lambda *_: log_all()); signal.raise_signal(signal.SIGUSR1)",
    ],
)
def test_programs_of_every_kind_log_to_a_server_and_exit_as_they_like(
    program: str, libsql_server: LibsqlServer, child: Child
) -> None:
    code = """
        import sys
        import turso_hooks

        hook = turso_hooks.get_plugin_manager().hook

        def log(n):
            hook.message_added(event=turso_hooks.MessageAdded(session_id="s", role="user", content=str(n)))

        def log_all():
            for n in range(20):
                log(n)

        async def agent(sleep):
            for n in range(20):
                log(n)
                await sleep(0)

        exec(sys.argv[1])
    """
    said = child(code, program, TURSO_DATABASE_URL=libsql_server.url).communicate(timeout=30)
    assert said == ("", "")
    assert libsql_server.ask("SELECT count(*), count(DISTINCT content) FROM messages") == [(20, 20)]


def test_a_dead_letter_on_a_server_is_put_back(libsql_server: LibsqlServer, run: Run, child: Child) -> None:
    environment = {"TURSO_DATABASE_URL": libsql_server.url}
    run("migrate", **environment)
    libsql_server.ask(
        "CREATE TRIGGER picky BEFORE INSERT ON messages WHEN NEW.content LIKE '3 %' BEGIN SELECT RAISE(ABORT, 'not this'); END"
    )
    assert child(LOGS, "5", "text", "20", **environment).communicate()[0] == "True\n"
    shown = run("journal", "dead-letters", **environment)
    assert "not this" in shown.stdout
    assert run("journal", "dead-letters", "--retry", **environment).returncode == 1
    libsql_server.ask("DROP TRIGGER picky")
    assert run("journal", "dead-letters", "--retry", **environment).returncode == 0
    assert libsql_server.ask("SELECT count(*) FROM messages") == [(5,)]
    assert libsql_server.ask("SELECT count(*) FROM dead_letters") == [(0,)]


def test_status_of_all_journals_asks_no_server_that_is_not_named(
    guarded_libsql_server: LibsqlServer, run: Run, child: Child
) -> None:
    server = guarded_libsql_server
    environment = {"TURSO_DATABASE_URL": server.url, "TURSO_AUTH_TOKEN": server.token()}
    assert child(LOGS, "5", "text", "20", **environment).communicate()[0] == "True\n"
    result = run("status", TURSO_AUTH_TOKEN="a-token-for-something-else")
    assert f"a server is asked when it is named: --db {server.url}" in result.stdout
    assert "a-token-for-something-else" not in result.stdout


def test_a_server_that_says_nothing_does_not_hold_a_command_for_ever(
    libsql_server: LibsqlServer, proxy: Callable[[int], Proxy], run: Run
) -> None:
    network = proxy(libsql_server.port)
    network.black_hole = True
    result = run("sessions", "--db", network.url, TURSO_HOOKS_REQUEST_TIMEOUT_S="0.3")
    assert (result.returncode, result.stdout) == (1, "")
    assert "no answer within 0.3 s" in result.stderr


def test_a_keyboard_interrupt_ends_a_command_that_waits_for_a_server(
    libsql_server: LibsqlServer, proxy: Callable[[int], Proxy]
) -> None:
    network = proxy(libsql_server.port)
    network.black_hole = True
    command = subprocess.Popen(
        [str(Path(sys.executable).parent / "turso-hooks"), "sessions", "--db", network.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    network.wait_until(lambda: network.connections == 1)
    command.send_signal(signal.SIGINT)
    assert command.communicate(timeout=10) == ("", "\nturso-hooks: stopped\n")
    assert command.returncode == 1


@pytest.mark.slow
def test_a_wrong_token_is_said_once_and_shown_nowhere_and_the_right_one_brings_everything(
    libsql_server: LibsqlServer, nginx: Callable[[str], Nginx], run: Run, child: Child, tmp_path: Path
) -> None:
    front = nginx(libsql_server.url)
    front.configure(token="the-right-token-3141")
    environment = {"TURSO_DATABASE_URL": front.url, "SSL_CERT_FILE": str(front.ca_file)}
    wrong = environment | {"TURSO_AUTH_TOKEN": "the-wrong-token-2718"}

    logged = child(LOGS, "1000", "with the wrong token", "3", **wrong)
    said = [*logged.communicate()]
    assert said[0] == "False\n"
    assert logged.returncode == 0
    warnings = [line for line in said[1].splitlines() if "TURSO_AUTH_TOKEN" in line]
    assert len(warnings) == len(said[1].splitlines()) <= 2, "once while it runs, once for what it had to leave"
    in_url = environment | {"TURSO_DATABASE_URL": f"{front.url}?authToken=the-wrong-token-2718"}
    for given, arguments in (
        (wrong, ["status"]), (wrong, ["status", "--json"]), (wrong, ["doctor"]), (wrong, ["doctor", "--json"]),
        (wrong, ["sessions"]), (wrong, ["drain"]), (wrong, ["journal", "segments"]), (wrong, ["journal", "records"]),
        (in_url, ["status", "--json"]), (in_url, ["doctor", "--json"]), (in_url, ["migrate"]),
    ):  # fmt: skip
        result = run(*arguments, **given)
        said += [result.stdout, result.stderr]
    assert "1,000 records" in "".join(said)

    right = environment | {"TURSO_AUTH_TOKEN": "the-right-token-3141"}
    late = child(LOGS, "10", "with the right token", "20", **right)
    said += [*late.communicate()]
    drained = run("drain", **right)
    said += [drained.stdout, drained.stderr, run("status", **right).stdout, run("doctor", "--json", **right).stdout]
    assert libsql_server.ask("SELECT count(*), count(DISTINCT content) FROM messages") == [(1010, 1010)]
    assert libsql_server.ask("SELECT sum(records), sum(next_number) FROM journal_writers") == [(1010, 1010)]

    files = [path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()]
    names = "".join(str(path) for path in (tmp_path / "state").rglob("*"))
    everything = ["".join(said).encode(), names.encode(), *files]
    assert len(files) > 1
    for token in (b"the-wrong-token-2718", b"the-right-token-3141"):
        assert not [text for text in everything if token in text]
