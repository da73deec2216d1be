"""One conversation, in each of its forms, as it goes on, and on a terminal with a pager; and completion in shells."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest
from hypothesis import strategies
from markdown_it import MarkdownIt

from turso_hooks.cli.reading.markdown import markdown
from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.events import (
    MessageAdded,
    ModelCallFinished,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
)
from turso_hooks.plugin import Recorder
from turso_hooks.query import Conversation, Message, ModelCall, Note, SessionSummary, ToolCall
from turso_hooks.settings import Settings
from turso_hooks.testing import make_conversation

Run = Callable[..., "subprocess.CompletedProcess[str]"]
START = datetime(2026, 1, 2, tzinfo=timezone.utc)
COMMAND = str(Path(sys.executable).with_name("turso-hooks"))


@pytest.fixture
def logged(recorder: Recorder, database: Path) -> str:
    """A session with a tool call and a sub-agent that it started."""

    def at(seconds: int) -> datetime:
        return START + timedelta(seconds=seconds)

    for event in (
        SessionStarted(session_id="parent", title="A title", agent_type="main", occurred_at=at(0)),
        MessageAdded(session_id="parent", role="user", content="Please", occurred_at=at(1)),
        ToolCallStarted(session_id="parent", tool_call_id="c", tool_name="task", input={"n": 1}, occurred_at=at(2)),
        SessionStarted(
            session_id="child", agent_type="sub", parent_session_id="parent", parent_tool_call_id="c", occurred_at=at(3)
        ),
        MessageAdded(session_id="child", role="assistant", content="Found", occurred_at=at(4)),
        SessionEnded(session_id="child", occurred_at=at(5)),
        ToolCallFinished(session_id="parent", tool_call_id="c", output="Found", occurred_at=at(6)),
        MessageAdded(session_id="parent", role="tool", content="Found", tool_call_id="c", occurred_at=at(6)),
        ModelCallFinished(session_id="parent", error="overloaded", occurred_at=at(7)),
        NoteAdded(session_id="parent", name="mood", payload="good", occurred_at=at(8)),
        MessageAdded(session_id="parent", role="assistant", content="Done", occurred_at=at(9)),
    ):
        recorder.record(event)
    assert recorder.flush(30).is_complete
    return f"file:{database}"


def test_json_lines_are_the_session_its_entries_in_order_and_its_sub_agents(run: Run, logged: str) -> None:
    lines = [json.loads(line) for line in run("show", "parent", "--jsonl", "--db", logged).stdout.splitlines()]
    assert [(line["kind"], line["session_id"]) for line in lines] == [
        ("session", "parent"),
        ("message", "parent"),
        ("tool_call", "parent"),
        ("message", "parent"),
        ("model_call", "parent"),
        ("note", "parent"),
        ("message", "parent"),
        ("session", "child"),
        ("message", "child"),
    ]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--messages"], {"session", "message"}),
        (["--tools"], {"session", "tool_call"}),
        (["--tools", "--messages"], {"session", "message", "tool_call"}),
    ],
    ids=["messages", "tools", "both"],
)
def test_messages_or_tool_calls_alone_are_shown_in_every_form(
    run: Run, logged: str, options: list[str], wanted: set[str]
) -> None:
    lines = [json.loads(line) for line in run("show", "parent", *options, "--jsonl", "--db", logged).stdout.splitlines()]
    assert {line["kind"] for line in lines} == wanted
    whole = json.loads(run("show", "parent", *options, "--json", "--db", logged).stdout)
    for form in ([], ["--markdown"]):
        shown = run("show", "parent", *options, *form, "--db", logged).stdout
        assert ("Please" in shown, "task" in shown) == (bool(whole["messages"]), bool(whole["tool_calls"]))
        assert "overloaded" not in shown


def test_forms_that_exclude_each_other_are_refused(run: Run, logged: str) -> None:
    for options in (["--json", "--markdown"], ["--follow", "--json"], ["--follow", "--markdown"]):
        assert run("show", "parent", *options, "--db", logged).returncode == 2


def test_a_conversation_as_markdown(run: Run, logged: str) -> None:
    said = run("show", "parent", "--markdown", "--db", logged, TZ="UTC")
    assert said.stdout == (
        "# A title\n\n"
        "main · unknown · 2026-01-02 00:00:00 · interrupted  \nsession `parent`\n\n"
        "**user**\n\n> Please\n\n"
        '✓ `task`\n\n```\n{"n": 1}\n```\n\n```\nFound\n```\n\n'
        "> ## child\n>\n> sub · unknown · 2026-01-02 00:00:03 · 2.0 s · completed  \n> session `child`\n>\n"
        "> **assistant**\n>\n> > Found\n>\n> ---\n>\n> 1 message\n\n"
        "✗ model call failed\n\n```\noverloaded\n```\n\n"
        "• `mood`\n\n```\ngood\n```\n\n"
        "**assistant**\n\n> Done\n\n"
        "---\n\n3 messages · 1 tool call · 1 model call\n"
    )


HOSTILE = [
    "<script>alert(1)</script>",
    "a <b>bold</b> `code <i>` and ``two `ticks` <i>`` \\`<img src=x>`",
    "```\n<script>\n```\n<script>after</script>",
    "~~~\n```\n<script>\n~~~ no end\n<script>",
    "    <script> indented\n\ntext <script>",
    "![picture](http://example.org/track.png) ![ref][r]\n\n[r]: http://example.org/x.png",
    "[click](javascript:alert(1)) [ref]\n\n[ref]: JavaScript:alert(1)",
    "<javascript:alert(1)>",
    "---\n\n# heading\n\n**assistant**\n\n> forged",
    "````\n```\n`````",
    "`" * 7,
    "> quoted <u>\n- <u>\n1. <u>",
    "<!-- comment",
    ">" * 150 + " <script>",
    "- " * 120 + "<script>",
    "&lt;script&gt; \\<script> &#60;script>",
    "\x1b[31mred \u202e reversed\r\nline",
    "x\u2028<script src=https://example.org/x.js",
    "x\n\n\t<script>alert(1)</script>",
    "```\n```\u00a0\n<script>alert(1)</script>\n```",
    "![look][a] [click][b]",
    "[a]: https://example.org/p.png\n[b]: javascript:alert(1)",
]


PIECES = [
    *("<b>", "</b>", "<!--", "&lt;", "![a](b)", "[a](javascript:b)"),
    *("`", "``", "```", "~~~", "\\", "\n", "\n\n", "    ", " ", "x"),
    *("> ", "- ", "#", "1. ", "---", "===", "\t", "\u2028", "\u00a0", "[a]: javascript:b", "[a]", "![a]"),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_was_logged_is_html_a_picture_or_a_trap_or_passes_for_something_else(text: str) -> None:
    check_harmless(text)


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(strategies.lists(strategies.sampled_from(PIECES), max_size=30).map("".join))
def test_nor_is_any_mixture_of_such_things(text: str) -> None:
    check_harmless(f"x{text}x")  # without anything there are fewer blocks


def test_nor_does_one_thing_that_was_said_make_something_of_another() -> None:
    check_harmless("![look][a] [click][b]", "[a]: https://example.org/p.png\n[b]: javascript:alert(1)")


def check_harmless(*texts: str) -> None:
    """Texts everywhere in a conversation make the same blocks as words do, with nothing in them that does anything."""
    parser = MarkdownIt("commonmark")
    parser.validateLink = lambda url: True  # type: ignore[method-assign]  # others may not look
    blocks = []
    for said in (texts, ["word"] * len(texts)):
        page = "\n".join(markdown(conversation(each), is_whole=True) for each in said)
        assert not {"\x1b", "\r", "\u202e"} & set(page)
        tokens = parser.parse(page)
        inner = [child for token in tokens for child in token.children or []]
        assert not {"html_block", "html_inline", "image"} & {token.type for token in (*tokens, *inner)}
        assert not [token for token in inner if str(token.attrGet("href") or "").lower().startswith("javascript")]
        blocks.append([token.type for token in tokens if token.level == 0])
    assert blocks[0] == blocks[1]


def conversation(said: str) -> Conversation:
    """A conversation that says it wherever something can be said."""
    parts = [{"type": "reasoning", "text": said}, {"type": "odd", "text": said}]
    kinds: tuple[type[msgspec.Struct], ...] = (SessionSummary, Message, ToolCall, ModelCall, Note)
    values = dict.fromkeys([name for kind in kinds for name in kind.__struct_fields__], said)
    known: dict[str, Any] = {**values, "parts": parts, "position": 0, "duration_ms": 1, "cost_usd": 1.0} | dict.fromkeys(
        [name for name in values if name.endswith(("_at", "_tokens", "_count"))]
    )

    def made(kind: type[msgspec.Struct]) -> Any:
        return kind(**{name: known[name] for name in kind.__struct_fields__})

    alone = Conversation(
        session=made(SessionSummary),
        messages=[made(Message)],
        tool_calls=[made(ToolCall)],
        model_calls=[made(ModelCall)],
        notes=[made(Note)],
        children=[],
    )
    return msgspec.structs.replace(alone, children=[alone])


def test_a_conversation_is_followed_until_its_session_ends(recorder: Recorder, logged: str) -> None:
    command = [COMMAND, "show", "parent", "--follow", "--jsonl", "--messages", "--db", logged]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        before = [json.loads(process.stdout.readline()) for _ in range(4)]
        assert [line["kind"] for line in before] == ["session", "message", "message", "message"]
        recorder.record(ToolCallStarted(session_id="parent", tool_name="ls"))
        recorder.record(MessageAdded(session_id="parent", role="user", content="and then"))
        assert recorder.flush(30).is_complete
        assert json.loads(process.stdout.readline())["content"] == "and then"
        recorder.record(SessionEnded(session_id="parent"))
        assert recorder.flush(30).is_complete
        rest, _ = process.communicate(timeout=20)
    assert (process.returncode, rest) == (0, "")


@pytest.mark.slow
def test_following_for_people_shows_a_call_when_it_begins_and_when_it_is_over(recorder: Recorder, logged: str) -> None:
    recorder.record(ToolCallStarted(session_id="parent", tool_call_id="before", tool_name="cat"))
    recorder.record(MessageAdded(session_id="parent", role="user", content="Meanwhile"))
    assert recorder.flush(30).is_complete
    command = [COMMAND, "show", "parent", "--follow", "--tools", "--db", logged]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        recorder.record(ToolCallStarted(session_id="parent", tool_call_id="d", tool_name="ls"))
        assert recorder.flush(30).is_complete
        assert any("… ls" in line for line in process.stdout)
        recorder.record(ToolCallFinished(session_id="parent", tool_call_id="d", output="files"))
        assert recorder.flush(30).is_complete
        assert any("✓ ls" in line for line in process.stdout)
        recorder.record(ToolCallFinished(session_id="parent", tool_call_id="before", output="text"))
        assert recorder.flush(30).is_complete
        assert any("✓ cat" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_what_is_longer_than_the_terminal_goes_through_the_pager(
    in_terminal: Callable[..., str], logged: str, tmp_path: Path
) -> None:
    kept = tmp_path / "paged"
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat > {kept}\n")
    pager.chmod(0o755)
    assert "Please" in in_terminal("show", "child", "--db", logged, PAGER=str(pager)) or not kept.exists()
    assert not kept.exists()
    assert "Please" not in in_terminal("show", "parent", "--db", logged, PAGER=str(pager))
    assert "Please" in kept.read_text()
    assert "\x1b[" in kept.read_text()
    in_terminal("show", "parent", "--db", logged, PAGER=str(pager), NO_COLOR="1")
    assert "\x1b[3" not in kept.read_text()


def test_columns_are_those_that_are_asked_for(run: Run, in_terminal: Callable[..., str], logged: str) -> None:
    said = run("sessions", "--columns", "session, parent,tools,ended", "--reverse", "--db", logged)
    assert said.stdout == "parent\t\t1\t\nchild\tparent\t0\t2026-01-02T00:00:05+00:00\n"
    shown = re.sub(r"\x1b\[[\d;]*m", "", in_terminal("sessions", "--columns", "parent,status", "--db", logged))
    assert shown.split() == ["parent", "status", "parent", "completed", "interrupted"]
    wrong = run("sessions", "--columns", "colour", "--db", logged)
    assert (wrong.returncode, "there is no column 'colour': they are session, started" in wrong.stderr) == (2, True)


def test_a_shell_completes_commands_and_ids(run: Run, logged: str, tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(run("completion", "bash").stdout)
    line = f"turso-hooks show --db {logged} "

    def completed(text: str) -> list[str]:
        words = text.split(" ")
        bash = f"""source {script}
            COMP_WORDS=({" ".join(words)}) COMP_CWORD={len(words) - 1}
            {"COMP_WORDS+=('')" if not words[-1] else ""}
            _turso_hooks_completion {COMMAND}
            printf '%s\\n' "${{COMPREPLY[@]}}" """
        said = subprocess.run(["bash", "-c", bash], capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path)
        return said.stdout.split()

    add = "INSERT INTO sessions (id, agent_type, model, status) VALUES (?, 'a', 'm', 'completed')"
    with EmbeddedDatabase(Path(logged.removeprefix("file:"))) as opened:
        for session_id in ("pa$(touch x)", "pa`x`", "pa x", "pa\nx", "pa;x", "-pa"):
            opened.execute(add, (session_id,))
    assert completed("turso-hooks se") == ["search", "sessions"]
    assert completed(line + "pa") == ["parent"]
    assert completed(line) == ["parent", "child"]
    assert completed(line.replace(logged, "file:nowhere.db") + "pa") == []
    for shell in ("zsh", "fish"):
        assert "turso-hooks" in run("completion", shell).stdout


def test_without_an_id_it_is_the_session_of_which_something_was_seen_last(run: Run, database: Path) -> None:
    recorder = Recorder(Settings(database_url=f"file:{database}", state_folder=database.parent / "other"))
    empty = run("show", "--db", f"file:{database}")
    assert empty.returncode == 1
    for event in [*make_conversation("older"), *make_conversation("newer", begin=datetime(2026, 5, 1, tzinfo=timezone.utc))]:
        recorder.record(event)
    for event in make_conversation("sub", begin=datetime(2026, 6, 1, tzinfo=timezone.utc), parent=("newer", "call-0")):
        recorder.record(event)
    assert recorder.close(10).is_complete
    shown = json.loads(run("show", "--json", "--db", f"file:{database}").stdout)
    assert shown["session"]["session_id"] == "newer"
