"""The example of a distribution with plugins: what it hides and counts, by itself and once it is installed."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import msgspec
import pydantic
import pytest

from turso_hooks.events import (
    EVENT_TYPES,
    Event,
    FilePart,
    MessageAdded,
    ModelCallFinished,
    NoteAdded,
    ReasoningPart,
    SessionEnded,
    SessionStarted,
    TextPart,
    ToolCallFinished,
    ToolCallPart,
    ToolCallStarted,
    ToolResultPart,
    encode,
    encode_marked,
)
from turso_hooks.manager import PluginManager
from turso_hooks.plugin import Recorder

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "custom_plugin"

# Put together here, so that nobody takes them for real.
LETTERS = "0123456789abcdef" * 3
KEY = "sk-" + LETTERS
TOKEN = "Bearer " + LETTERS[::-1]
ADDRESS = "jane.doe" + "@" + "example.com"
SECRETS = (KEY, TOKEN, ADDRESS)
HIDDEN = "write to [redacted: email] with [redacted: api key], [redacted: bearer token]"

RUNNER = f"""
import json, os, sys
from turso_hooks import *

hook = get_plugin_manager().hook
secret = "write to {ADDRESS} with {KEY}, {TOKEN}"
call = dict(session_id="s", tool_call_id="c", tool_name="mail")
hook.session_started(event=SessionStarted(session_id="s", title=secret, metadata={{"secret": secret}}))
hook.message_added(event=MessageAdded(session_id="s", role="user", content=secret))
hook.message_added(event=MessageAdded(session_id="s", role="assistant", content=[TextPart(text=secret)]))
hook.model_call_finished(event=ModelCallFinished(session_id="s", error=secret))
hook.tool_call_started(event=ToolCallStarted(**call, input=[secret]))
hook.tool_call_finished(event=ToolCallFinished(**call, output={{"a": secret}}, error=secret))
hook.note_added(event=NoteAdded(session_id="s", name="retry", payload=(secret, {{secret: 1}})))
hook.note_added(event=NoteAdded(session_id="s", name="scratchpad", payload="what nobody is to see"))
hook.session_ended(event=SessionEnded(session_id="s", error_message=secret))
try:
    from turso_hooks_example.counting import counter
    print(json.dumps(counter.counts()), flush=True)
except ImportError:
    print("no counter", flush=True)
if "killed" in sys.argv:
    os._exit(0)
"""


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLE / "turso_hooks_example" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def redaction() -> ModuleType:
    return loaded("redaction")


@pytest.fixture
def counter() -> Any:
    return loaded("counting").counter


def note(payload: object) -> NoteAdded:
    return NoteAdded(session_id="s", name="n", payload=payload)


def recorded(event: Event) -> bytes:
    """The bytes that the recorder would append."""
    try:
        return encode(event)
    except Exception:  # noqa: BLE001  # as the recorder does: msgspec passes on whatever a value's own code raises
        return encode_marked(event)


def assert_hidden(event: Event, kept: Event) -> None:
    assert type(kept) is type(event)
    assert b"[redacted: " in recorded(kept)
    assert not any(secret.encode() in recorded(kept) for secret in SECRETS)


@pytest.mark.parametrize(
    "event",
    [
        SessionStarted(session_id="s", title=ADDRESS),
        SessionStarted(session_id="s", metadata={"deep": [{"er": KEY}]}),
        MessageAdded(session_id="s", role="user", content=f"x {TOKEN} y"),
        MessageAdded(session_id="s", role="assistant", content=[TextPart(text=KEY), ReasoningPart(text=TOKEN)]),
        MessageAdded(session_id="s", role="assistant", content=[{"type": "odd", KEY: ADDRESS}]),
        MessageAdded(session_id="s", role="assistant", content=[ToolCallPart(tool_call_id="c", tool_name="t", input=KEY)]),
        MessageAdded(session_id="s", role="tool", content=[ToolResultPart(tool_call_id="c", output=[TOKEN])]),
        MessageAdded(session_id="s", role="user", content=[FilePart(url=f"https://{ADDRESS}/a.png", name=KEY)]),
        ModelCallFinished(session_id="s", error=f"refused {KEY}"),
        ToolCallStarted(session_id="s", input={"to": [ADDRESS]}),
        ToolCallFinished(session_id="s", output={"a": (KEY, {ADDRESS})}, error=TOKEN),
        NoteAdded(session_id="s", name="n", payload=[[ADDRESS], {"b": {"c": KEY}}]),
        SessionEnded(session_id="s", error_message=f"cannot reach {ADDRESS}"),
    ],
)
def test_secrets_are_hidden_wherever_they_are_in_an_event(event: Event, redaction: ModuleType) -> None:
    kept = redaction.redact_event(event)
    assert_hidden(event, kept)
    assert (kept.event_id, kept.session_id, kept.occurred_at) == (event.event_id, event.session_id, event.occurred_at)


@dataclass
class Account:
    owner: str = field(repr=False)


@attrs.define
class Slotted:
    owner: str = attrs.field(repr=False)


class Model(pydantic.BaseModel, extra="allow"):
    owner: str = pydantic.Field(repr=False)


class Row(msgspec.Struct):
    customer_id: str


class Opaque:
    def __repr__(self) -> str:
        return f"<Opaque {KEY}>"


@pytest.mark.parametrize(
    "value",
    [
        Account(owner=ADDRESS),
        Slotted(owner=KEY),
        Model(owner=TOKEN),
        Model(owner="", other=KEY),  # type: ignore[call-arg]  # it takes more than it declares
        Row(customer_id=ADDRESS),
        Opaque(),
        FileNotFoundError(2, "No such file", KEY),
        Path("/home") / ADDRESS,
        KEY.encode() + b"\xff",
        bytearray(KEY.encode()),
        memoryview(KEY.encode()),
        {ADDRESS},
        {(ADDRESS, 1): 1},
        json.dumps({"text": f"first line\n{KEY}"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_secrets_are_hidden_in_whatever_the_recorder_would_keep_of_an_object(value: object, redaction: ModuleType) -> None:
    event = note([value])
    assert any(secret.encode() in recorded(event) for secret in SECRETS)
    assert_hidden(event, redaction.redact_event(event))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (KEY, "api key"),
        ("sk-ant-" + LETTERS, "api key"),
        ("sk_live_" + LETTERS, "api key"),
        ("ghp_" + LETTERS, "api key"),
        ("github_pat_" + LETTERS, "api key"),
        ("xoxb-" + LETTERS, "api key"),
        ("AKIA" + "0123456789ABCDEF", "api key"),
        ("AIza" + LETTERS[:35], "api key"),
        (TOKEN, "bearer token"),
        ("BEARER  " + LETTERS + "==", "bearer token"),
        (ADDRESS, "email"),
        ("jörg+lists@mail.example.com", "email"),
    ],
)
def test_each_kind_of_secret_is_named_and_what_stands_around_it_stays(text: str, kind: str, redaction: ModuleType) -> None:
    assert redaction.redact_text(f"({text}), {text}! {{'{text}'}}") == "(X), X! {'X'}".replace("X", f"[redacted: {kind}]")


@pytest.mark.parametrize(
    "text", ["react@18.2.0", "task-" + LETTERS, "the bearer of news", "sk-short", "a @ b.example", "@property"]
)
def test_what_only_resembles_a_secret_stays(text: str, redaction: ModuleType) -> None:
    assert redaction.redact_text(text) is text


def test_an_event_with_nothing_to_hide_is_given_back_as_it_is(redaction: ModuleType) -> None:
    shared = [TextPart(text="a")]
    values = [1, None, True, float("nan"), b"\xff", (), {}, {"a": "b"}]
    others = [{1: "a"}, Account("a"), Model(owner="a"), object(), ValueError("a")]
    for kind in EVENT_TYPES:
        required = {"role": "user"} if kind is MessageAdded else {"name": "n"} if kind is NoteAdded else {}
        event = kind(session_id="s", metadata=[values, values], **required)
        assert redaction.redact_event(event) is event
        event = kind(session_id="s", metadata=[others, shared], **required)
        assert encode_marked(redaction.redact_event(event)) == encode_marked(event)


def test_what_needs_no_change_stays_beside_what_does(redaction: ModuleType) -> None:
    clean = {"a": [1, "b"]}
    kept = redaction.redact_event(note([clean, ADDRESS, clean]))
    assert kept.payload == [clean, "[redacted: email]", clean]


def test_ids_are_never_changed_for_rows_meet_by_them(redaction: ModuleType) -> None:
    event = ToolCallFinished(
        session_id=ADDRESS, event_id=KEY, row_id=KEY, tool_call_id=KEY, message_id=ADDRESS, tool_name=KEY, output=ADDRESS
    )
    kept = redaction.redact_event(event)
    assert kept == msgspec.structs.replace(event, tool_name="[redacted: api key]", output="[redacted: email]")
    started = SessionStarted(session_id=ADDRESS, parent_session_id=ADDRESS, parent_tool_call_id=KEY, user_id=ADDRESS)
    assert redaction.redact_event(started) is started
    parts = [ToolCallPart(tool_call_id=KEY, tool_name="t"), ToolResultPart(tool_call_id=KEY, output=KEY)]
    kept = redaction.redact_event(MessageAdded(session_id="s", role="tool", content=parts))
    assert kept.content == [parts[0], ToolResultPart(tool_call_id=KEY, output="[redacted: api key]")]


def test_entries_whose_keys_are_hidden_do_not_become_one(redaction: ModuleType) -> None:
    kept = redaction.redact_event(note({f"a{ADDRESS}": 1, f"b{ADDRESS}": 2, "[redacted: email]": 3}))
    assert list(kept.payload.values()) == [1, 2, 3]


def test_a_value_that_holds_itself_is_searched_once(redaction: ModuleType) -> None:
    again = {"$type": "cycle", "class": "list"}
    endless: list[object] = [KEY]
    endless += [endless, {"again": endless}]
    assert redaction.redact_event(note(endless)).payload == ["[redacted: api key]", again, {"again": again}]
    account = Account(owner="a")
    account.owner = account  # type: ignore[assignment]
    assert redaction.redact_event(note(account)).payload["owner"]["$type"] == "cycle"
    loop = MessageAdded(session_id="s", role="user", content=[ADDRESS], metadata={})
    loop.metadata["event"] = loop
    assert_hidden(loop, redaction.redact_event(loop))


@pytest.mark.parametrize("levels", [200, 100_000])
def test_what_lies_too_deep_to_be_searched_is_hidden(levels: int, redaction: ModuleType) -> None:
    deep: list[object] = [KEY]
    for _ in range(levels):
        deep = [ADDRESS, deep]
    event = note(deep)
    kept = redaction.redact_event(event)
    assert_hidden(event, kept)
    assert b"too_deep" in recorded(kept)


def test_a_value_that_is_met_without_end_is_searched_as_often_as_it_is_kept(redaction: ModuleType) -> None:
    wide: list[object] = [ADDRESS]
    for _ in range(50):  # 2**50 ways to the address
        wide = [wide, wide]
    kept = redaction.redact_event(note(wide))
    assert_hidden(kept, kept)


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("broken")


class BrokenMapping(dict[str, str]):
    def items(self) -> Any:
        raise RuntimeError("broken")


class BrokenClass:
    @property
    def __class__(self) -> Any:
        raise RuntimeError("broken")


@pytest.mark.parametrize("make", [Broken, BrokenMapping, BrokenClass])
def test_a_value_whose_own_code_raises_is_hidden_and_the_rest_is_kept(
    make: Callable[[], object], redaction: ModuleType
) -> None:
    a, hidden = redaction.redact_event(note(["a", make()])).payload
    assert (a, hidden["$type"]) == ("a", "unreadable")


@pytest.mark.parametrize(
    "piece", ["a", "a@", "a.", "@a.", "a@1.", "a-", "bearer ", "Bearer a", "sk-", "sk-short ", "ghp_", "\\n"]
)
def test_a_million_characters_take_no_longer_than_their_number(piece: str, redaction: ModuleType) -> None:
    redaction.redact_text(piece * (1_000_000 // len(piece)))  # were it quadratic, this would be hours


def test_a_note_named_scratchpad_is_dropped_and_counted(
    redaction: ModuleType, recorder: Recorder, rows: Callable[..., list[tuple[object, ...]]]
) -> None:
    manager = PluginManager()
    manager.register(recorder)
    manager.register(redaction)
    for name in ("scratchpad", "kept"):
        manager.hook.note_added(event=NoteAdded(session_id="s", name=name, payload=ADDRESS))
    assert recorder.counts() == {"dropped": 1}
    assert recorder.close(30).is_complete
    assert rows("SELECT name, payload FROM notes") == [("kept", '"[redacted: email]"')]


@pytest.fixture
def counting_manager(counter: Any) -> Iterator[PluginManager]:
    manager = PluginManager()
    manager.register(counter)
    yield manager
    manager.unregister(counter)


def test_every_kind_of_event_is_counted_and_tool_calls_by_tool_and_status(
    counting_manager: PluginManager, counter: Any
) -> None:
    for kind in EVENT_TYPES:
        required = {"role": "user"} if kind is MessageAdded else {"name": "n"} if kind is NoteAdded else {}
        if kind is not ToolCallFinished:
            counting_manager.emit(kind(session_id="s", **required))
    outcomes: list[dict[str, Any]] = [{}, {"error": "no"}, {"status": "cancelled"}, {"tool_name": "ls"}, {"tool_name": "ls"}]
    for outcome in outcomes:
        counting_manager.emit(ToolCallFinished(session_id="s", **outcome))
    assert counter.counts() == {
        **{kind.__name__: 1 for kind in EVENT_TYPES},
        "ToolCallFinished": 5,
        "tool (not named): completed": 1,
        "tool (not named): error": 1,
        "tool (not named): cancelled": 1,
        "tool ls: completed": 2,
    }


def test_what_counts_gives_is_a_copy(counting_manager: PluginManager, counter: Any) -> None:
    counter.counts()["SessionEnded"] += 1
    assert counter.counts() == {}


def test_events_of_many_threads_are_counted_each_once(counting_manager: PluginManager, counter: Any) -> None:
    everyone_is_here = threading.Barrier(8)

    def log() -> None:
        everyone_is_here.wait()
        for _ in range(1000):
            counting_manager.hook.tool_call_finished(event=ToolCallFinished(session_id="s", tool_name="ls"))
            counting_manager.hook.message_added(event=MessageAdded(session_id="s", role="user"))

    threads = [threading.Thread(target=log) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.counts() == {"ToolCallFinished": 8000, "tool ls: completed": 8000, "MessageAdded": 8000}


def raw(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.slow
def test_once_installed_it_hides_and_counts_and_once_it_is_gone_it_does_not(fresh_environment: Callable[[], Any]) -> None:
    place = fresh_environment()
    home = place.folder / "home"

    def run(name: str, *arguments: str) -> str:
        (place.folder / name).mkdir(exist_ok=True)
        return str(place.run("python", "runner.py", *arguments, database=f"{name}/agents.db").stdout)

    def ask(name: str, sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(place.folder / name / "agents.db")) as connection:
            return connection.execute(sql).fetchall()

    (place.folder / "runner.py").write_text(RUNNER, encoding="utf-8")
    place.pip("install", str(EXAMPLE))
    assert json.loads(run("hidden")) == {
        "SessionStarted": 1,
        "MessageAdded": 2,
        "ModelCallFinished": 1,
        "ToolCallStarted": 1,
        "ToolCallFinished": 1,
        "tool mail: error": 1,
        "NoteAdded": 2,
        "SessionEnded": 1,
    }
    assert ask("hidden", "SELECT title FROM sessions") == [(HIDDEN,)]
    assert ask("hidden", "SELECT content FROM messages") == [(HIDDEN,)] * 2
    assert ask("hidden", "SELECT error FROM tool_executions") == [(HIDDEN,)]
    assert ask("hidden", "SELECT name FROM notes") == [("retry",)]
    assert "1 dropped" in place.run("turso-hooks", "status", database="hidden/agents.db").stdout

    (place.folder / "journal").write_text(
        "a file, so that no database can be there and all stays in the journal", encoding="utf-8"
    )
    place.run("python", "runner.py", "killed", database="journal/agents.db")
    assert HIDDEN.encode() in raw(home)
    for secret in (*SECRETS, LETTERS, "what nobody is to see"):
        assert secret.encode() not in raw(place.folder / "hidden") + raw(home)

    place.pip("uninstall", "--yes", "turso-hooks-example")
    assert run("plain") == "no counter\n"
    assert ask("plain", "SELECT content FROM messages")[0] == (f"write to {ADDRESS} with {KEY}, {TOKEN}",)
    assert ask("plain", "SELECT count(*) FROM notes") == [(2,)]
    for secret in SECRETS:
        assert secret.encode() in raw(place.folder / "plain")
