"""What a hook of Claude Code's costs, and how quickly its transcripts are imported: 1,000 of 500 lines."""

from __future__ import annotations

import json
import os
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.benchmark(group="claude-code")

COMMAND = str(Path(sys.executable).with_name("turso-hooks"))
STARTS = 15
FILES, LINES = 1000, 500
WORDS = ("a", "model", "says", "many", "words", "and", "its", "tools", "answer", "with", "more", "of", "the", "same")
SAID = {
    "session_id": "00000000-0000-4000-8000-000000000000",
    "transcript_path": "/nowhere/transcript.jsonl",
    "cwd": "/nowhere",
    "hook_event_name": "PostToolUse",
    "tool_name": "Bash",
    "tool_input": {"command": "cat file"},
    "tool_response": {"stdout": "a line of it\n" * 150, "stderr": "", "interrupted": False},
    "tool_use_id": "toolu_1",
}


def test_a_hook(measure: Any, tmp_path: Path) -> None:
    said = json.dumps(SAID).encode()
    environment = {**os.environ, "TURSO_DATABASE_URL": f"file:{tmp_path}/agents.db"}
    contenders = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "hook": [COMMAND, "hook", "claude-code"],
        "not configured": [COMMAND, "hook", "claude-code"],
    }

    def one_round() -> dict[str, dict[str, float]]:
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(STARTS):
            for name, command in contenders.items():
                given = environment if name != "not configured" else {**environment, "TURSO_DATABASE_URL": ""}
                begin = time.perf_counter()
                subprocess.run(command, input=said, env=given, check=True, stdout=subprocess.DEVNULL)
                times[name].append((time.perf_counter() - begin) * 1000)
        return {name: {"whole": statistics.median(each)} for name, each in times.items()}

    found = measure(one_round)
    found.compare("a hook of Claude Code's, the whole process", "hook", "python -c pass", "whole", "ms", most=3)
    found.compare("the same, without a database", "not configured", "python -c pass", "whole", "ms")


def test_an_import(measure: Any, tmp_path: Path) -> None:
    folder = tmp_path / "projects"
    write_transcripts(folder, FILES)
    environment = {**os.environ, "TURSO_DATABASE_URL": f"file:{tmp_path}/agents.db"}

    def imported(path: Path) -> float:
        begin = time.perf_counter()
        result = subprocess.run(
            [COMMAND, "import", "claude-code", "--json", str(path)], env=environment, check=True, capture_output=True
        )
        assert json.loads(result.stdout)["not_understood"] == {}
        return time.perf_counter() - begin

    def one_round() -> dict[str, dict[str, float]]:
        some = sorted(folder.iterdir())[:2]
        for each in some:
            imported(each)
        memory = peak_mb()
        first = imported(folder)
        lines = (FILES - sum(len(list(each.iterdir())) for each in some)) * LINES
        return {"import": {"rate": lines / first, "again": imported(folder), "some_mb": memory, "all_mb": peak_mb()}}

    found = measure(one_round, rounds=1)
    found.show(f"importing {FILES:,} transcripts of {LINES} lines", "import", "rate", "lines/s", least=20_000)
    found.show("the same again, when nothing has changed", "import", "again", "s", most=2)
    found.show("memory of its largest process", "import", "all_mb", "MB")
    found.show("the same after a tenth of them", "import", "some_mb", "MB")
    with closing(sqlite3.connect(tmp_path / "agents.db")) as database:
        assert database.execute("SELECT count(*) FROM sessions").fetchone() == (FILES,)
        (calls,) = database.execute("SELECT count(*) FROM model_calls WHERE cost_usd > 0").fetchone()
    assert calls > FILES * LINES // 6


def peak_mb() -> float:
    """The most memory that any process which was waited for has had."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def write_transcripts(folder: Path, files: int) -> None:
    """Sessions of eight model calls a prompt, with thinking, text and a tool call each, in twenty projects."""
    template = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in one_transcript()).encode()
    for n in range(files):
        session = f"{n:08x}-0000-4000-8000-000000000000"
        project = folder / f"-project-{n % 20}"
        project.mkdir(parents=True, exist_ok=True)
        said = template.replace(b"SESSION", session.encode()).replace(b"_N_", f"_{n}_".encode())
        (project / f"{session}.jsonl").write_bytes(said)


def one_transcript() -> list[dict[str, Any]]:
    pick = random.Random(7)
    now = datetime(2026, 11, 1, tzinfo=timezone.utc)
    lines: list[dict[str, Any]] = []

    def words(number: int) -> str:
        return " ".join(pick.choice(WORDS) for _ in range(number))

    def add(kind: str, **said: Any) -> None:
        nonlocal now
        now += timedelta(milliseconds=pick.randint(5, 900))
        ids = {"parentUuid": f"u{len(lines) - 1}", "uuid": f"u{len(lines)}", "sessionId": "SESSION", "isSidechain": False}
        where = {"cwd": "/home/somebody/project", "version": "2.1.331", "gitBranch": "main", "userType": "external"}
        at = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        lines.append({**ids, "type": kind, **said, "timestamp": at, **where, "entrypoint": "cli"})

    def assistant(call: int, usage: dict[str, int], stop: str, block: dict[str, Any]) -> None:
        message = {"id": f"msg_N_{call}", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5"}
        said = {**message, "content": [block], "stop_reason": stop, "usage": usage}
        add("assistant", requestId=f"req_N_{call}", message=said)

    call = 0
    while len(lines) < LINES:
        prompt = f"prompt_N_{call}"
        add("user", promptId=prompt, message={"role": "user", "content": words(30)})
        add("attachment", attachment={"type": "total_tokens_reminder", "text": "many tokens are left"})
        for turn in range(8):
            call += 1
            stop = "end_turn" if turn == 7 else "tool_use"
            usage = {
                "input_tokens": 9,
                "cache_creation_input_tokens": 800,
                "cache_read_input_tokens": 9000,
                "output_tokens": 90,
            }
            assistant(call, usage, stop, {"type": "thinking", "thinking": words(40), "signature": "c2ln"})
            assistant(call, usage, stop, {"type": "text", "text": words(60)})
            if turn == 7:
                break
            asked = {"type": "tool_use", "id": f"toolu_N_{call}", "name": "Bash", "input": {"command": words(8)}}
            assistant(call, usage, stop, asked)
            answered = {"type": "tool_result", "tool_use_id": asked["id"], "content": words(150), "is_error": False}
            result = {"stdout": words(150), "stderr": "", "interrupted": False}
            add("user", promptId=prompt, message={"role": "user", "content": [answered]}, toolUseResult=result)
    used = {"inputTokens": 1000, "outputTokens": 20_000, "cacheReadInputTokens": 900_000, "cacheCreationInputTokens": 10_000}
    cost = {"type": "cost-state", "sessionId": "SESSION", "modelUsage": {"claude-sonnet-4-5": {**used, "costUSD": 0.61}}}
    return [*lines[: LINES - 1], cost]
