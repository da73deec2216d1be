"""Transcripts as they lie on the disk: real files that grow, shrink, are replaced and are damaged."""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turso_hooks.adapters.claude_code import following
from turso_hooks.adapters.claude_code.following import (
    FileRead,
    Follower,
    Found,
    Progress,
    projects_folder,
    sessions_in,
    sub_agents,
)
from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    SessionEnded,
    SessionStarted,
    encode,
    hook_name,
    row_id_of,
)

MODEL = "claude-sonnet-4-5"
USAGE = {"input_tokens": 10, "output_tokens": 4}
LONG_AGO = time.time() - 48 * 3600


def line(kind: str, second: int, **said: Any) -> bytes:
    at = f"2026-01-02T00:00:{second:02d}.000Z"
    return json.dumps({"type": kind, "timestamp": at, "uuid": f"u{second}", **said}).encode() + b"\n"


def prompt(second: int, words: str = "hello") -> bytes:
    return line("user", second, promptId=f"p{second}", message={"role": "user", "content": words})


def answer(second: int, words: str = "hi", *, message_id: str | None = None, stop: str | None = "end_turn") -> bytes:
    content = [{"type": "text", "text": words}]
    message = {"id": message_id or f"m{second}", "model": MODEL, "content": content, "stop_reason": stop, "usage": USAGE}
    return line("assistant", second, message=message)


def cost_state(usd: float, calls: int) -> bytes:
    spent = {"costUSD": usd, "inputTokens": 10 * calls, "outputTokens": 4 * calls}
    return json.dumps({"type": "cost-state", "modelUsage": {MODEL: spent}}).encode() + b"\n"


class Disk:
    """A folder of transcripts, and what a follower says of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, FileRead] = {}
        self.session = folder / "s1.jsonl"

    def agent(self, *lines: bytes, name: str = "a1", **meta: Any) -> Path:
        path = self.folder / "s1" / "subagents" / f"agent-{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(lines))
        if meta:
            path.with_suffix(".meta.json").write_text(json.dumps(meta))
        return path

    def write(self, *lines: bytes) -> None:
        self.session.write_bytes(b"".join(lines))

    def append(self, *lines: bytes) -> None:
        with self.session.open("ab") as file:
            file.writelines(lines)

    def read(self, path: Path | None = None) -> tuple[list[Event], Found]:
        events: list[Event] = []
        follower = Follower(events.append, self.files)
        assert follower.read(path or self.session) == follower.found.lines
        return events, follower.found

    def events(self) -> list[Event]:
        return self.read()[0]


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    folder = tmp_path / "projects" / "shop"
    folder.mkdir(parents=True)
    return Disk(folder)


def of(kind: type, events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def words(events: list[Event]) -> list[Any]:
    return [event.content for event in of(MessageAdded, events)]


# One file


def test_a_file_is_read_once_and_counted(disk: Disk) -> None:
    disk.write(prompt(1), answer(2), line("progress", 3), b"rubbish\n")
    events, found = disk.read()
    assert words(events) == ["hello", "hi"]
    assert {event.session_id for event in events} == {"s1"}
    assert (found.files, found.lines, found.messages, found.unchanged) == (1, 4, 2, 0)
    assert (found.skipped, found.not_understood) == ({"progress": 1}, {"line that is not JSON": 1})


def test_a_file_that_has_not_changed_is_not_opened(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.write(prompt(1), answer(2))
    disk.read()
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("it was opened"))
    events, found = disk.read()
    assert events == []
    assert (found.files, found.unchanged, found.lines) == (0, 1, 0)


def test_a_file_that_has_grown_is_read_from_where_it_was(disk: Disk) -> None:
    disk.write(prompt(1), answer(2))
    disk.read()
    size = disk.session.stat().st_size
    disk.append(prompt(3, "more"), answer(4, "yes"))
    events, found = disk.read()
    assert words(events) == ["more", "yes"]
    assert [event.position for event in of(MessageAdded, events)] == [size, size + len(prompt(3, "more"))]
    assert found.lines == 2


def test_a_last_line_without_its_end_waits_until_it_has_one(disk: Disk) -> None:
    whole = answer(2, "a long answer")
    disk.write(prompt(1), whole[:40])
    assert words(disk.events()) == ["hello"]
    disk.append(whole[40:60])
    events, found = disk.read()
    assert (events, found.lines, found.not_understood) == ([], 0, {})
    disk.append(whole[60:])
    assert words(disk.events()) == ["a long answer"]


def test_an_answer_goes_on_in_lines_that_come_later(disk: Disk) -> None:
    disk.write(prompt(1), answer(2, "one", message_id="m", stop=None))
    assert words(disk.events()) == ["hello", "one"]
    disk.append(answer(3, "two", message_id="m"))
    (message,) = of(MessageAdded, disk.events())
    assert [part["text"] if isinstance(part, dict) else part.text for part in message.content] == ["one", "two"]


def test_a_file_that_was_replaced_is_read_from_its_beginning(disk: Disk) -> None:
    disk.write(prompt(1, "first"), answer(2))
    disk.read()
    disk.write(prompt(1, "other"), answer(2), answer(3))
    assert words(disk.events()) == ["other", "hi", "hi"]


def test_a_file_that_is_shorter_than_it_was_is_read_from_its_beginning(disk: Disk) -> None:
    disk.write(prompt(1), answer(2), answer(3))
    first = disk.events()
    disk.write(prompt(1), answer(2))
    again = disk.events()
    assert words(again) == ["hello", "hi"]
    assert {encode(event) for event in of(MessageAdded, again)} <= {encode(event) for event in first}


def test_a_file_that_is_shorter_but_begins_the_same_is_read_from_its_beginning(disk: Disk) -> None:
    disk.write(prompt(1, "x" * 600), answer(2), answer(3))
    disk.read()
    disk.write(prompt(1, "x" * 600), answer(2))
    assert words(disk.events()) == ["x" * 600, "hi"]


def test_a_longer_file_that_begins_the_same_is_read_from_its_beginning(disk: Disk) -> None:
    disk.write(prompt(1, "x" * 600), answer(2))
    disk.read()
    disk.write(prompt(1, "x" * 600), prompt(2, "other"), answer(3))
    assert words(disk.events()) == ["x" * 600, "other", "hi"]


def test_a_file_that_was_emptied_is_read_when_it_has_something_again(disk: Disk) -> None:
    disk.write(prompt(1))
    disk.read()
    disk.write()
    assert disk.events() == []
    disk.write(prompt(1))
    assert words(disk.events()) == ["hello"]


def test_a_file_that_grew_is_still_the_same(disk: Disk) -> None:
    disk.write(prompt(1)[:10])
    assert disk.events() == []
    disk.append(prompt(1)[10:], prompt(2, "x" * 2000))
    assert len(words(disk.events())) == 2
    disk.append(prompt(3, "y" * 2000))
    assert words(disk.events()) == ["y" * 2000]


def test_a_file_that_is_not_there_or_no_file_is_named_and_the_rest_is_read(disk: Disk) -> None:
    folder = disk.folder / "d.jsonl"
    folder.mkdir()
    disk.write(prompt(1))
    follower = Follower(lambda _: None, disk.files)
    for path in (folder, disk.folder / "none.jsonl", disk.session):
        follower.read(path)
    assert follower.found.messages == 1
    assert set(follower.found.unreadable) == {str(folder), str(disk.folder / "none.jsonl")}


def test_a_file_that_fails_to_open_is_named_and_read_when_it_does_not(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.write(prompt(1))

    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refused)
        events, found = disk.read()
    assert (events, found.unreadable) == ([], {str(disk.session): "Permission denied"})
    assert words(disk.events()) == ["hello"]


def test_what_two_followers_have_found_adds_up() -> None:
    one = Found(1, 2, 3, 4, 5, Counter(a=1), Counter(b=1), {"x": "gone"})
    one.add(Found(10, 20, 30, 40, 50, Counter(a=1, c=2), Counter(b=3), {"y": "gone too"}))
    assert one == Found(11, 22, 33, 44, 55, Counter(a=2, c=2), Counter(b=4), {"x": "gone", "y": "gone too"})


@pytest.mark.parametrize("name", ["a b", "é 日本語 😀", "quo'te\"", "new\nline", "a.b.c", "-rf", "%s{}", ".hidden", "x" * 200])
def test_odd_names_are_names(disk: Disk, name: str, tmp_path: Path) -> None:
    path = disk.folder / f"{name}.jsonl"
    path.write_bytes(prompt(1))
    inside = path.with_suffix("") / "subagents"
    inside.mkdir(parents=True)
    (inside / f"agent-{name}.jsonl").write_bytes(prompt(2))
    progress = Progress(tmp_path / "p", "db")
    events: list[Event] = []
    Follower(events.append, progress.files).read(path)
    assert {event.session_id for event in events} == {name, f"{name}/agent-{name}"}
    progress.save()
    assert set(Progress(tmp_path / "p", "db").files) == {str(path), str(inside / f"agent-{name}.jsonl")}


def test_names_that_are_no_text_are_names(disk: Disk, tmp_path: Path) -> None:
    path = disk.folder / os.fsdecode(b"s\xff.jsonl")
    path.write_bytes(prompt(1))
    progress = Progress(tmp_path / "p", "db")
    assert Follower(lambda _: None, progress.files).read(path) == 1
    progress.save()
    assert set(Progress(tmp_path / "p", "db").files) == {str(path)}


def test_a_file_that_begins_with_a_title_is_no_copy_of_another(disk: Disk) -> None:
    disk.write(b'{"type": "summary", "summary": "Shop"}\n', prompt(1), answer(2))
    events = disk.events()
    assert [event.metadata for event in of(MessageAdded, events)] == [None, None]
    assert len(of(ModelCallFinished, events)) == 1


# Lines that are too long


@pytest.fixture
def short_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "MAX_LINE_BYTES", 1000)


@pytest.mark.parametrize("length", [901, 1000, 2000, 3500])
def test_a_line_that_is_too_long_is_passed_over_and_counted(disk: Disk, short_lines: None, length: int) -> None:
    disk.write(prompt(1), prompt(2, "x" * length), prompt(3, "after"))
    events, found = disk.read()
    assert words(events) == ["hello", "after"]
    assert (found.lines, found.not_understood) == (3, {"line that is too long": 1})
    disk.append(prompt(4, "later"))
    assert words(disk.events()) == ["later"]


def test_a_line_that_is_just_not_too_long_is_read(disk: Disk, short_lines: None) -> None:
    said = prompt(1, "x" * (1000 - len(prompt(1, ""))))
    assert len(said) == 1000
    disk.write(said, prompt(2))
    assert len(words(disk.events())) == 2


def test_a_line_that_is_too_long_and_still_grows_is_one_line(disk: Disk, short_lines: None) -> None:
    whole = prompt(2, "x" * 5000)
    disk.write(prompt(1), whole[:3000])
    counts = disk.read()[1].not_understood
    disk.append(whole[3000:], prompt(3, "after"))
    events, found = disk.read()
    assert words(events) == ["after"]
    assert counts + found.not_understood == {"line that is too long": 1}


class Growing:
    """A file whose writer goes on whenever a reader has come to the end of what there is."""

    def __init__(self, file: BinaryIO, go_on: Callable[[], None]) -> None:
        self._file, self._go_on = file, go_on

    def seek(self, offset: int) -> None:
        self._file.seek(offset)

    def readline(self, limit: int) -> bytes:
        found = self._file.readline(limit)
        if found and not found.endswith(b"\n"):
            self._go_on()
        return found


def test_a_last_line_that_is_finished_while_the_file_is_read_is_one_line(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answer(2, "a long answer")
    disk.write(prompt(1), whole[:40])
    rest = [whole[40:]]
    opened = os.fdopen

    @contextmanager
    def growing(fd: int, mode: str) -> Iterator[Growing]:
        with opened(fd, mode) as file:
            yield Growing(cast("BinaryIO", file), lambda: disk.append(rest.pop()) if rest else None)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", growing)
        events, found = disk.read()
    assert found.not_understood == {}
    assert words([*events, *disk.events()]) == ["hello", "a long answer"]


# Sub-agents


def test_sub_agents_are_read_with_their_session(disk: Disk) -> None:
    disk.write(prompt(1))
    disk.agent(prompt(2, "look"), agentType="Explore", toolUseId="t1", description="look around")
    disk.agent(prompt(3, "deeper"), name="a2", parentAgentId="a1", toolUseId="t2")
    events, found = disk.read()
    assert found.files == 3
    started = {event.session_id: event for event in of(SessionStarted, events)}
    first, second = started["s1/agent-a1"], started["s1/agent-a2"]
    assert (first.parent_session_id, first.parent_tool_call_id) == ("s1", "t1")
    assert (first.agent_type, first.title) == ("Explore", "look around")
    assert (second.parent_session_id, second.parent_tool_call_id) == ("s1/agent-a1", "t2")


@pytest.mark.parametrize("meta", [None, b"", b"rubbish", b"[]", b'{"agentType": 7}', b"\xff", b"[" * 5000])
def test_a_sub_agent_of_which_nothing_is_said_is_the_sessions(disk: Disk, meta: bytes | None) -> None:
    disk.write(prompt(1))
    path = disk.agent(prompt(2), answer(3))
    if meta is not None:
        path.with_suffix(".meta.json").write_bytes(meta)
    events = disk.events()
    child = next(event for event in of(SessionStarted, events) if event.session_id == "s1/agent-a1")
    assert (child.parent_session_id, child.agent_type) == ("s1", "claude-code")
    assert of(SessionEnded, events) == []


def test_a_sub_agent_has_ended_when_its_meta_file_says_so(disk: Disk) -> None:
    disk.write(prompt(1))
    disk.agent(prompt(2), answer(3), finished=False)
    assert of(SessionEnded, disk.events()) == []
    disk.agent(prompt(2), answer(3), finished=True, description="longer than before")
    (ended,) = of(SessionEnded, disk.events())
    assert (ended.session_id, ended.status) == ("s1/agent-a1", "completed")
    assert disk.events() == []


def test_a_meta_file_alone_that_has_changed_is_news(disk: Disk) -> None:
    disk.write(prompt(1))
    path = disk.agent(prompt(2), answer(3))
    disk.read()
    path.with_suffix(".meta.json").write_text('{"finished": true}')
    events, found = disk.read()
    assert [type(event) for event in events] == [SessionEnded]
    assert (found.unchanged, found.lines) == (1, 0)


def test_calls_of_sub_agents_are_priced_when_their_session_ends(disk: Disk) -> None:
    disk.write(prompt(1), answer(2))
    path = disk.agent(prompt(3), answer(4))
    disk.read()
    before = path.stat()
    disk.append(cost_state(0.5, 2))
    priced = [event for event in of(ModelCallFinished, disk.events()) if event.cost_usd is not None]
    assert [(event.session_id, event.cost_usd) for event in priced] == [
        ("s1", pytest.approx(0.25)),
        ("s1/agent-a1", pytest.approx(0.25)),
    ]
    assert path.stat() == before
    assert disk.events() == []


def test_calls_of_sessions_that_have_ended_are_told_once_with_what_they_cost(disk: Disk) -> None:
    disk.write(prompt(1), answer(2), cost_state(0.5, 2))
    disk.agent(prompt(3), answer(4))
    assert [event.cost_usd for event in of(ModelCallFinished, disk.events())] == [pytest.approx(0.25)] * 2


def test_what_a_long_file_says_at_its_end_is_known_before_its_calls_are_told(disk: Disk) -> None:
    disk.write(prompt(1, "x" * 20_000), answer(2), answer(3), cost_state(0.5, 2))
    assert [event.cost_usd for event in of(ModelCallFinished, disk.events())] == [pytest.approx(0.25)] * 2


# Old files


def test_a_file_that_has_not_changed_for_a_day_ends_its_session_and_is_read_to_its_last_byte(disk: Disk) -> None:
    disk.write(prompt(1), answer(2).rstrip())
    os.utime(disk.session, (LONG_AGO, LONG_AGO))
    events, found = disk.read()
    assert words(events) == ["hello", "hi"]
    assert [event.status for event in of(SessionEnded, events)] == ["completed"]
    assert found.not_understood == {}
    assert disk.read()[1].unchanged == 1


def test_a_file_ends_its_session_when_it_has_become_old_without_a_change(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.write(prompt(1), answer(2))
    assert of(SessionEnded, disk.events()) == []
    monkeypatch.setattr(following, "OVER_AFTER_S", -60.0)
    assert [type(event) for event in disk.events()] == [SessionEnded]
    assert disk.events() == []


def test_an_old_file_whose_model_had_more_to_say_is_left_open(disk: Disk) -> None:
    disk.write(prompt(1))
    os.utime(disk.session, (LONG_AGO, LONG_AGO))
    assert of(SessionEnded, disk.events()) == []


def test_an_old_session_that_is_taken_up_again_is_open_again(disk: Disk) -> None:
    disk.write(prompt(1), answer(2))
    os.utime(disk.session, (LONG_AGO, LONG_AGO))
    disk.read()
    disk.append(prompt(3))
    assert [type(event) for event in disk.events()] == [SessionStarted, MessageAdded]


# Progress


def followed(progress: Progress, path: Path) -> list[Event]:
    events: list[Event] = []
    Follower(events.append, progress.files).read(path)
    return events


def test_how_far_files_were_read_survives(disk: Disk, tmp_path: Path) -> None:
    kept = tmp_path / "new" / "folder" / "p"
    disk.write(prompt(1), answer(2))
    progress = Progress(kept, "db")
    assert len(words(followed(progress, disk.session))) == 2
    progress.save()
    assert set(Progress(kept, "db").files) == {str(disk.session)}
    assert followed(Progress(kept, "db"), disk.session) == []
    disk.append(prompt(3, "more"))
    again = Progress(kept, "db")
    events = followed(again, disk.session)
    assert words(events) == ["more"]
    assert of(SessionStarted, events) == []  # it is still known to be open


def test_what_is_kept_is_for_its_owner_alone_and_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "p"
    for size in (1, 2):
        progress = Progress(path, "db")
        progress.files["x"] = FileRead(size=size)
        progress.save()
        assert Progress(path, "db").files["x"].size == size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["p"]


def test_what_was_read_into_another_database_counts_as_unread(disk: Disk, tmp_path: Path) -> None:
    disk.write(prompt(1))
    progress = Progress(tmp_path / "p", "one")
    followed(progress, disk.session)
    progress.save()
    assert words(followed(Progress(tmp_path / "p", "other"), disk.session)) == ["hello"]


DAMAGED = [
    b"",
    b"rubbish",
    b"\0" * 100,
    b"{}",
    b"[]",
    b"null",
    b'{"database": "db"}',
    b'{"database": 7, "files": {}}',
    b'{"database": "db", "files": []}',
    b'{"database": "db", "files": {"x": 7}}',
    b'{"database": "db", "files": {"x": {"size": "1"}}}',
    b'{"database": "db", "files": {"x": {"state": {"sessions": {"s": {}}}}}}',
    b"[" * 5000,
]


@pytest.mark.parametrize("damaged", DAMAGED, ids=lambda damaged: repr(damaged[:40]))
def test_a_progress_file_that_is_damaged_counts_as_unread(disk: Disk, tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "p").write_bytes(damaged)
    disk.write(prompt(1))
    progress = Progress(tmp_path / "p", "db")
    assert progress.files == {}
    assert words(followed(progress, disk.session)) == ["hello"]
    progress.save()
    assert followed(Progress(tmp_path / "p", "db"), disk.session) == []


def test_a_progress_file_that_was_cut_anywhere_counts_as_unread(disk: Disk, tmp_path: Path) -> None:
    disk.write(prompt(1), answer(2, "é"))
    progress = Progress(tmp_path / "p", "db")
    followed(progress, disk.session)
    progress.save()
    whole = (tmp_path / "p").read_bytes()
    for end in range(len(whole)):
        (tmp_path / "p").write_bytes(whole[:end].rstrip(b"\xc3"))
        assert Progress(tmp_path / "p", "db").files == {}


def test_a_progress_file_with_bytes_that_are_no_text_counts_as_unread(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b'{"database": "db\xff", "files": {}}')
    assert Progress(tmp_path / "p", "db").files == {}


def test_a_progress_file_that_is_too_deep_counts_as_unread(tmp_path: Path) -> None:
    message = b'{"message_id": "m", "blocks": ' + b"[" * 100_000
    (tmp_path / "p").write_bytes(b'{"database": "db", "files": {"x": {"state": {"sessions": {"s": {"message": ' + message)
    assert Progress(tmp_path / "p", "db").files == {}


def test_lines_of_any_depth_can_be_kept_or_are_read_anew(disk: Disk, tmp_path: Path) -> None:
    for depth in range(800, 1000):  # where the limit is depends on who calls
        nested = "[" * depth + "]" * depth
        content = f'[{{"type": "tool_use", "id": "t", "input": {nested}}}]'
        disk.write(f'{{"type": "assistant", "message": {{"content": {content}}}}}\n'.encode())
        progress = Progress(tmp_path / f"{depth}.progress", "db")
        followed(progress, disk.session)
        progress.save()
        assert set(Progress(tmp_path / f"{depth}.progress", "db").files) <= {str(disk.session)}


# Where transcripts are


def test_the_projects_of_a_user_are_where_claude_code_keeps_them() -> None:
    assert projects_folder({"CLAUDE_CONFIG_DIR": "/c"}) == Path("/c/projects")
    assert projects_folder({}) == projects_folder({"CLAUDE_CONFIG_DIR": ""}) == Path.home() / ".claude" / "projects"


def test_sessions_are_found_without_their_sub_agents_and_those_alone_when_it_is_gone(disk: Disk) -> None:
    disk.write(prompt(1))
    agent = disk.agent(prompt(2), finished=True)
    (disk.folder / "notes.txt").touch()
    assert list(sessions_in(disk.session)) == [disk.session]
    assert list(sessions_in(disk.folder.parent)) == [disk.session]
    assert sub_agents(disk.session) == [agent]
    assert sub_agents(agent) == []
    disk.session.unlink()
    assert list(sessions_in(disk.folder.parent)) == [agent]
    assert {event.session_id for event in disk.read(agent)[0]} == {"s1/agent-a1"}


def test_sub_agents_of_a_session_with_a_dot_in_its_name_come_with_it(disk: Disk) -> None:
    inside = disk.folder / "a.b" / "subagents"
    inside.mkdir(parents=True)
    (disk.folder / "a.b.jsonl").write_bytes(prompt(1))
    (inside / "agent-a1.jsonl").write_bytes(prompt(2))
    assert list(sessions_in(disk.folder)) == [disk.folder / "a.b.jsonl"]


# Wherever a reading ends

GROWN = b"".join(
    [
        prompt(1, "é 😀"),
        answer(2, "one", message_id="m", stop=None),
        answer(3, "two", message_id="m"),
        b"rubbish\n",
        b"\xff\n",
        prompt(4, "again"),
        answer(5),
    ]
)


def last_said(events: list[Event]) -> dict[tuple[str, str], bytes]:
    return {(hook_name(event), row_id_of(event)): encode(event) for event in events}


@given(st.lists(st.integers(0, len(GROWN)), max_size=6).map(sorted))
@settings(max_examples=40)
def test_a_file_that_is_read_while_it_grows_says_the_same_in_the_end(ends: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole, growing = Path(folder, "whole", "s.jsonl"), Path(folder, "s.jsonl")
        whole.parent.mkdir()
        whole.write_bytes(GROWN)
        expected = followed(Progress(Path(folder, "none"), "db"), whole)
        events: list[Event] = []
        for end in [*ends, len(GROWN)]:
            growing.write_bytes(GROWN[:end])
            progress = Progress(Path(folder, "p"), "db")
            events += followed(progress, growing)
            progress.save()
        assert last_said(events) == last_said(expected)
