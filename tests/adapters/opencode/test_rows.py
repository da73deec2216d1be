"""What happens on a real server is logged as the server itself tells it, however the connection behaves, and once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from adapters.opencode.conftest import WITHIN_S, Log, until
from serving.failing import Failing
from serving.fixtures import skipping
from serving.model import ModelServer
from serving.opencode import PROVIDER, OpenCode
from serving.proxy import Proxy
from turso_hooks.adapters.opencode import OpenCodeServer, Watcher
from turso_hooks.transcripts.opencode import Progress

MakeLog = Callable[[str], Log]
LOST = "OpenCode's server ended in the middle of this"


def converse(server: OpenCode, model: ModelServer) -> None:
    """Everything there is: the last thing said is over when this returns."""
    for script in ("plain", "two", "failing", "denied", "parent"):
        server.say(server.begin(), f"Please [{script}].")
    abort(server, model)
    compacted = server.begin()
    server.say(compacted, "Please [plain].")
    server.post(f"/session/{compacted}/summarize", {"providerID": PROVIDER, "modelID": "m"})
    both = server.begin()
    others = threading.Thread(target=server.say, args=(both, "The one says [plain]."))
    others.start()
    server.say(both, "The other says [two].")
    others.join()


def abort(server: OpenCode, model: ModelServer) -> None:
    """Break an answer off in the middle."""
    session_id = server.begin()
    model.pause_s = 0.01
    server.say_at_once(session_id, "Please [slow].")
    until(lambda: any(part["type"] == "text" for said in server.messages(session_id)[1:] for part in said["parts"]))
    server.post(f"/session/{session_id}/abort", {})
    until(lambda: session_id not in server.get("/session/status"))
    model.pause_s = 0.0


def is_all_there(log: Log, server: OpenCode) -> bool:
    """Whether what the server has is in the database, and nothing is under way."""
    said = [message for session_id in server.all_sessions() for message in server.messages(session_id)]
    tools = [part for message in said for part in message["parts"] if part["type"] == "tool"]
    spoken = [message for message in said if {part["type"] for part in message["parts"]} != {"compaction"}]
    is_over = "running" not in log.statuses().values()
    titles = {info["id"]: info["title"] for info in server.get("/experimental/session?limit=1000")}
    is_entitled = {row["id"]: row["title"] for row in log.table("sessions")} == titles
    return is_over and is_entitled and len(log.table("messages")) == len(spoken) + len(tools)


def compare(log: Log, server: OpenCode) -> None:
    """Compare all rows field by field with what the server says."""
    tables = {name: {row["id"]: row for row in log.table(name)} for name in ("sessions", "messages", "tool_executions")}
    calls = {row["id"]: row for row in log.table("model_calls")}
    for info in server.get("/experimental/session?limit=1000"):
        row = tables["sessions"].pop(info["id"])
        given = (info["title"], info["directory"], info.get("parentID"), info["agent"], info["model"]["id"])
        assert (row["title"], row["project"], row["parent_session_id"], row["agent_type"], row["model"]) == given
        assert (row["runner"], row["provider"]) == (f"opencode {info['version']}", PROVIDER)
        for said in server.messages(info["id"]):
            compare_message(said, tables, calls)
    assert (tables, calls) == ({"sessions": {}, "messages": {}, "tool_executions": {}}, {})


def compare_message(said: dict[str, Any], tables: dict[str, dict[str, Any]], calls: dict[str, Any]) -> None:
    info, parts = said["info"], said["parts"]
    session_id, message_id = info["sessionID"], info["id"]
    if {part["type"] for part in parts} == {"compaction"}:
        return
    row = tables["messages"].pop(f"{session_id}:message:{message_id}")
    assert row["role"] == info["role"]
    texts = [part["text"] for part in parts if part.get("text")]
    stored = json.loads(row["parts"]) if row["parts"] else [{"text": row["content"]}]
    assert [part["text"] for part in stored if part.get("text")] == texts
    named = [part["tool_call_id"] for part in stored if part.get("type") == "tool_call"]
    tools = [part for part in parts if part["type"] == "tool"]
    assert named == [part["callID"] for part in tools]
    for part in tools:
        compare_tool(part, tables)
    for finish in (part for part in parts if part["type"] == "step-finish"):
        call, tokens = calls.pop(f"{session_id}:model_call:{message_id}"), finish["tokens"]
        read = tokens["input"] + tokens["cache"]["read"] + tokens["cache"]["write"]
        assert (call["input_tokens"], call["output_tokens"]) == (read, tokens["output"] + tokens["reasoning"])
        assert (call["cost_usd"], call["finish_reason"]) == (finish["cost"], finish["reason"])
    if info.get("error"):
        call = calls.pop(f"{session_id}:model_call:{message_id}")
        assert call["error"] == f"{info['error']['name']}: {info['error']['data']['message']}"


def compare_tool(part: dict[str, Any], tables: dict[str, dict[str, Any]]) -> None:
    session_id, call_id, state = part["sessionID"], part["callID"], part["state"]
    row = tables["tool_executions"].pop(f"{session_id}:tool_call:{call_id}")
    assert (row["tool_name"], json.loads(row["input"])) == (part["tool"], state["input"])
    assert row["status"] == state["status"]
    output = None if row["output"] is None else json.loads(row["output"])
    assert (output, row["error"]) == (state.get("output"), state.get("error"))
    assert row["duration_ms"] == state["time"]["end"] - state["time"]["start"]
    answer = tables["messages"].pop(f"{session_id}:message:{call_id}")
    assert (answer["role"], answer["content"]) == ("tool", state.get("output") or state["error"])


@contextmanager
def cut_every(proxy: Proxy, seconds: float) -> Iterator[None]:
    over = threading.Event()

    def cut() -> None:
        while not over.wait(seconds):
            proxy.cut_all()

    cutting = threading.Thread(target=cut)
    cutting.start()
    try:
        yield
    finally:
        over.set()
        cutting.join()


@pytest.mark.slow
def test_what_is_logged_is_what_the_server_says_live_and_imported(
    opencode: OpenCode, model_server: ModelServer, log: MakeLog
) -> None:
    live, of_server, of_file = log("live"), log("server"), log("file")
    watching = live.watch(opencode.url)
    converse(opencode, model_server)
    until(lambda: is_all_there(live, opencode))
    live.end(watching)
    compare(live, opencode)
    (child,) = (row for row in live.table("sessions") if row["parent_session_id"])
    (asking,) = (row for row in live.table("tool_executions") if row["tool_name"] == "task")
    assert child["parent_tool_call_id"] == asking["id"].rpartition(":")[2]
    assert sorted(row["name"] for row in live.table("notes")) == ["compaction", "permission_denied"]
    assert sorted(live.statuses().values()) == ["cancelled", *["completed"] * (len(live.statuses()) - 1)]
    for other, arguments in ((of_server, ["--url", opencode.url]), (of_file, [str(opencode.file)])):
        for _ in range(2):
            done = other.command("import", "opencode", *arguments)
            assert (done.returncode, done.stderr) == (0, "")
        assert other.rows() == live.rows()


@pytest.mark.slow
def test_a_stream_that_is_cut_every_300_ms_loses_and_doubles_nothing(
    opencode: OpenCode, model_server: ModelServer, log: MakeLog, proxy: Callable[[int], Proxy]
) -> None:
    network, cut, uncut = proxy(opencode.port), log("cut"), log("uncut")
    watching = cut.watch(network.url)
    with cut_every(network, 0.3):
        converse(opencode, model_server)
    until(lambda: is_all_there(cut, opencode))
    cut.end(watching)
    compare(cut, opencode)
    assert uncut.command("import", "opencode", "--url", opencode.url).returncode == 0
    assert cut.rows() == uncut.rows()


@pytest.mark.slow
def test_a_watcher_that_is_killed_goes_on_where_it_was(opencode: OpenCode, model_server: ModelServer, log: MakeLog) -> None:
    killed, whole = log("killed"), log("whole")
    watching = killed.watch(opencode.url)
    opencode.say(opencode.begin(), "Please [two].")
    speaking = threading.Thread(target=converse, args=(opencode, model_server))
    speaking.start()
    until(lambda: killed.table("tool_executions"))
    killed.end(watching, signal.SIGKILL)
    speaking.join()
    watching = killed.watch(opencode.url)
    until(lambda: is_all_there(killed, opencode))
    killed.end(watching)
    compare(killed, opencode)
    assert whole.command("import", "opencode", "--url", opencode.url).returncode == 0
    assert killed.rows() == whole.rows()
    again = killed.watch(opencode.url)  # by now it is known how far it was
    session_id = opencode.begin()
    opencode.say(session_id, "Please [plain].")
    until(lambda: killed.statuses().get(session_id) == "completed")
    killed.end(again, signal.SIGTERM)


@pytest.mark.slow
def test_a_session_whose_server_dies_is_marked_and_completed_when_it_is_back(
    opencode: OpenCode, model_server: ModelServer, log: MakeLog
) -> None:
    live = log("live")
    watching = live.watch(opencode.url)
    session_id = opencode.begin()
    model_server.pause_s = 0.01
    opencode.say_at_once(session_id, "Please [slow].")
    until(lambda: model_server.pieces > 150 and live.table("messages"))
    opencode.end(signal.SIGKILL)
    until(lambda: live.statuses() == {session_id: "error"})
    (session,) = live.table("sessions")
    assert session["error_message"] == LOST
    until(lambda: len(live.table("messages")) == 2)
    question, answer = sorted(live.table("messages"), key=lambda row: row["sequence"])
    assert question["content"] == "Please [slow]."
    assert answer["content"].startswith("word ")
    assert json.loads(answer["metadata"])["incomplete"] is True
    model_server.pause_s = 0.0
    opencode.start()
    opencode.say(session_id, "Please [again].")
    until(lambda: live.statuses() == {session_id: "completed"})
    until(lambda: len(live.table("messages")) == 4)
    assert live.table("sessions")[0]["error_message"] is None
    live.end(watching)


@pytest.mark.slow
def test_a_server_that_comes_back_under_another_version_is_followed_on(
    opencode: OpenCode, log: MakeLog, tmp_path: Path, model_server: ModelServer
) -> None:
    live, older = log("live"), OpenCode(tmp_path / "older", model_server.url)
    older.package = "opencode-older"
    with skipping(), older as server:
        watching = live.watch(server.url)
        before = server.begin()
        server.say(before, "Please [two].")
        server.end(signal.SIGTERM)
        server.package = opencode.package
        server.start()
        after = server.begin()
        for session_id in (before, after):
            server.say(session_id, "Please [plain].")
        until(lambda: len(live.statuses()) == 2 and is_all_there(live, server))
        live.end(watching)
        compare(live, server)
    assert len({row["runner"] for row in live.table("sessions")}) == 2


@pytest.mark.slow
def test_another_server_at_the_same_address_is_read_from_its_beginning(
    opencode: OpenCode, log: MakeLog, tmp_path: Path, model_server: ModelServer
) -> None:
    live, other = log("live"), OpenCode(tmp_path / "other", model_server.url)
    with other:
        other.say(other.begin(), "Please [two].")
        other.end(signal.SIGTERM)
        opencode.say(opencode.begin(), "Please [plain].")
        watching = live.watch(opencode.url)
        until(lambda: is_all_there(live, opencode))
        live.end(watching)
        opencode.end(signal.SIGTERM)
        other.port = opencode.port
        other.start()
        watching = live.watch(other.url)
        until(lambda: live.table("tool_executions"))
        live.end(watching)
    assert len(live.table("sessions")) == 2


@pytest.mark.slow
def test_who_stops_to_read_what_a_watch_says_does_not_end_it(opencode: OpenCode, log: MakeLog) -> None:
    live = log("live")
    command = [str(Path(sys.executable).with_name("turso-hooks")), "watch", "opencode", "--url", opencode.url]
    with subprocess.Popen(command, env=live.environment, stderr=subprocess.PIPE) as watching:
        assert watching.stderr is not None
        assert watching.stderr.readline().startswith(b"following ")
        watching.stderr.close()
        for _ in range(2):
            opencode.say(opencode.begin(), "Please [plain].")
        until(lambda: is_all_there(live, opencode))
        watching.send_signal(signal.SIGTERM)
        assert watching.wait(WITHIN_S) == 0
    compare(live, opencode)


@pytest.mark.slow
def test_a_session_that_waits_for_its_answer_is_read_again_the_next_time(opencode: OpenCode) -> None:
    answered, waiting = opencode.begin(), opencode.begin()
    opencode.say(answered, "Please [plain].")
    opencode.say_unanswered(waiting, "Wait.")

    async def look() -> Progress:
        async with OpenCodeServer(opencode.url) as server, anyio.create_task_group() as group:
            watcher = Watcher(server, lambda _: None, lambda _: None, progress=Progress())
            group.start_soon(watcher.run)
            await watcher.caught_up.wait()
            group.cancel_scope.cancel()
        return watcher.progress

    progress = anyio.run(look)
    assert progress.unfinished == (waiting,)
    assert progress.session_id in {answered, waiting}


@pytest.mark.slow
def test_twenty_sessions_at_once_are_kept_each_with_what_is_its_own(opencode: OpenCode, log: MakeLog) -> None:
    live = log("live")
    watching = live.watch(opencode.url)
    sessions = [opencode.begin() for _ in range(20)]
    speaking = [threading.Thread(target=opencode.say, args=(each, "Please [two].")) for each in sessions]
    for thread in speaking:
        thread.start()
    for thread in speaking:
        thread.join()
    until(lambda: len(live.statuses()) == 20 and is_all_there(live, opencode))
    live.end(watching)
    compare(live, opencode)


@pytest.mark.slow
def test_other_directories_of_the_server_are_logged_too(opencode: OpenCode, log: MakeLog, tmp_path: Path) -> None:
    live = log("live")
    watching = live.watch(opencode.url)
    other = tmp_path / "other"
    other.mkdir()
    (other / "opencode.json").write_bytes((opencode.project / "opencode.json").read_bytes())
    here, there = opencode.begin(), opencode.begin(other)
    opencode.say(here, "Please [plain].")
    opencode.say(there, "Please [two].")
    until(lambda: len(live.statuses()) == 2 and is_all_there(live, opencode))
    live.end(watching)
    projects = {row["id"]: row["project"] for row in live.table("sessions")}
    assert projects == {here: str(opencode.project), there: str(other)}


@pytest.mark.slow
def test_a_permission_that_is_asked_for_and_refused_is_two_notes_and_ends_the_turn(opencode: OpenCode, log: MakeLog) -> None:
    live = log("live")
    watching = live.watch(opencode.url)
    session_id = opencode.begin()
    opencode.say_at_once(session_id, "Please [asking].")
    until(lambda: live.table("notes"))
    (asked,) = live.table("notes")
    assert asked["name"] == "permission_asked"
    question_id = asked["id"].rpartition(":")[2]
    assert json.loads(asked["payload"])["permission"] == "webfetch"
    opencode.post(f"/permission/{question_id}/reply", {"reply": "reject"})
    until(lambda: live.statuses() == {session_id: "cancelled"})
    until(lambda: {row["name"] for row in live.table("notes")} >= {"permission_asked", "permission_denied"})
    live.end(watching)
    (call,) = live.table("tool_executions")
    assert (call["status"], call["error"]) == ("error", "The user rejected permission to use this specific tool call.")


@pytest.mark.slow
def test_a_model_that_is_overloaded_and_recovers_is_a_note_each_time_and_one_call(
    opencode: OpenCode, model_server: ModelServer, log: MakeLog
) -> None:
    model_server.refusals["plain"] = [529]
    live = log("live")
    watching = live.watch(opencode.url)
    session_id = opencode.begin()
    opencode.say(session_id, "Please [plain].")
    until(lambda: live.statuses() == {session_id: "completed"})
    live.end(watching)
    assert [(row["name"], json.loads(row["payload"])["attempt"]) for row in live.table("notes")] == [("retry", 1)]
    (call,) = live.table("model_calls")
    assert (call["status"], call["error"]) == ("completed", None)


@pytest.mark.slow
def test_a_request_that_a_model_refuses_ends_the_session_as_an_error(
    opencode: OpenCode, model_server: ModelServer, log: MakeLog
) -> None:
    model_server.refusals["plain"] = [400] * 9
    live = log("live")
    watching = live.watch(opencode.url)
    session_id = opencode.begin()
    opencode.say(session_id, "Please [plain].")
    until(lambda: live.statuses() == {session_id: "error"})
    live.end(watching)
    (session,) = live.table("sessions")
    assert session["error_message"] == "APIError: as the script says"


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_program_watches_while_it_does_something_else(opencode: OpenCode, log: MakeLog, backend: str) -> None:
    live = log("live")
    session_id = opencode.begin()
    opencode.say(session_id, "Please [plain].")
    example = Path(__file__).parents[3] / "examples" / "opencode_watch.py"
    program = live.run([sys.executable, str(example), opencode.url, backend])
    assert program.stdout is not None
    assert program.stdout.readline() == "what was there is logged\n"
    opencode.say(session_id, "Please [two].")
    until(lambda: is_all_there(live, opencode))
    program.communicate("\n", timeout=30)
    assert program.returncode == 0, live.said()
    compare(live, opencode)


ASKS_AND_ENDS = """
import json, sys, urllib.request

import anyio

import turso_hooks
from turso_hooks.adapters.opencode import watch


def say(url, session_id):
    body = json.dumps({"parts": [{"type": "text", "text": "Please [two]."}]}).encode()
    request = urllib.request.Request(f"{url}/session/{session_id}/message", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request).read()


async def main(url, session_id):
    async with watch(url) as watcher:
        await watcher.caught_up.wait()
        await anyio.to_thread.run_sync(say, url, session_id)


anyio.run(main, *sys.argv[1:])
turso_hooks.close(10)
"""


@pytest.mark.slow
def test_a_program_that_ends_with_the_last_word_of_the_model_has_logged_it(opencode: OpenCode, log: MakeLog) -> None:
    live = log("live")
    program = live.run([sys.executable, "-c", ASKS_AND_ENDS, opencode.url, opencode.begin()])
    program.communicate(timeout=WITHIN_S)
    assert (program.returncode, live.said()) == (0, "")
    assert is_all_there(live, opencode)
    compare(live, opencode)


@pytest.mark.slow
def test_a_server_with_a_password_is_read_with_it_and_without_it_that_is_said(
    tmp_path: Path, model_server: ModelServer, log: MakeLog
) -> None:
    with skipping(), OpenCode(tmp_path / "guarded", model_server.url, password="made-up") as server:  # of nothing
        live = log("live")
        session_id = server.begin()
        server.say(session_id, "Please [plain].")
        for command in (["import", "opencode", "--url", server.url], ["watch", "opencode", "--url", server.url]):
            refused = live.command(*command)
            assert refused.returncode == 1
            assert "it wants another user or password; set OPENCODE_SERVER_PASSWORD" in refused.stderr
        watching = live.watch(server.url, OPENCODE_SERVER_PASSWORD="made-up")
        until(lambda: live.statuses() == {session_id: "completed"})
        live.end(watching)


@pytest.mark.slow
def test_what_the_server_fails_to_answer_costs_only_itself(opencode: OpenCode, log: MakeLog) -> None:
    live = log("live")
    bad, good = opencode.begin(), opencode.begin()
    opencode.say(bad, "Please [plain].")
    opencode.say(good, "Please [plain].")
    with Failing(opencode.url, f"{bad}/message") as failing:
        watching = live.watch(failing.url)
        until(lambda: live.statuses().get(good) == "completed")
        later = opencode.begin()
        opencode.say(bad, "Please [plain].")
        opencode.say(later, "Please [plain].")
        until(lambda: live.statuses().get(later) == "completed")
        live.end(watching)
        assert failing.failed > 1
        imported = log("imported").command("import", "opencode", "--url", failing.url)
        assert (imported.returncode, "it answers 500 to" in imported.stderr) == (1, True)
        assert "2 sessions, 4 messages" in imported.stdout
    rows = live.table("messages")
    assert [row["session_id"] for row in rows].count(good) == [row["session_id"] for row in rows].count(later) == 2
    # Of an answer that cannot be read there is what the stream has said of it.
    assert all(json.loads(row["metadata"])["incomplete"] for row in rows if row["session_id"] == bad)
    assert live.said().count("was not logged") == 1
