"""Transcripts of sub-agents are read beside the agent, and never at its cost."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from turso_hooks.adapters.claude_agent_sdk.transcripts import Transcripts
from turso_hooks.events import Event

LINE = {
    "type": "user",
    "sessionId": "s",
    "agentId": "a",
    "uuid": "u",
    "timestamp": "2026-01-02T03:04:05Z",
    "message": {"role": "user", "content": "hi"},
}


@pytest.fixture
def transcript(tmp_path: Path) -> Path:
    path = tmp_path / "s" / "subagents" / "agent-a.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(LINE) + "\n")
    return path


def wait_for_threads() -> None:
    for thread in threading.enumerate():
        if thread.name == "turso-hooks-transcripts":
            thread.join(10)


def test_what_was_read_is_not_read_again(transcript: Path) -> None:
    events: list[Event] = []
    transcripts = Transcripts(events.append, pytest.fail)
    transcripts.follow(transcript)
    wait_for_threads()
    said = len(events)
    assert {event.session_id for event in events} == {"s/agent-a"}
    transcripts.read({"claude-sonnet-4-5": 1e-6})
    wait_for_threads()
    assert len(events) == said


def test_a_fault_is_told_and_ends_no_thread_with_a_traceback(transcript: Path, capfd: pytest.CaptureFixture[str]) -> None:
    faults: list[Exception] = []

    def refuse(_: Event) -> None:
        raise RuntimeError("no room")

    transcripts = Transcripts(refuse, faults.append)
    transcripts.follow(transcript)
    wait_for_threads()
    assert [str(fault) for fault in faults] == ["no room"]
    assert capfd.readouterr().err == ""
