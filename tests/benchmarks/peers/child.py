"""The process in which one peer is tried: it logs, times each call, and dies or ends as its plan says.

    python -m benchmarks.peers.child PLAN

A plan is JSON: `tool` (a file in `tools`), `folder`, `url`, `turns`, `events` (the most of a conversation), `conversations` and
`seconds` (it stops after either, at the end of a conversation), `pause_s` before each call; `waits`: log a little, say "ready",
and begin when a line is read; `is_sick`: the backend is, so end without waiting for it; `is_killed`: by SIGKILL, at
once after the last call, whose number is said first. What was found is written to `found.json` in the folder.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import itertools
import json
import os
import platform
import signal
import sqlite3
import sys
import time
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.peers.work import Tool, conversation

FOUND = "found.json"


class Calls:
    """Every call of one run, as its caller saw it."""

    def __init__(self, tool: Tool, pause_s: float) -> None:
        self.took_ns: list[int] = []
        self.errors: Counter[str] = Counter()
        self._tool = tool
        self._pause_s = pause_s
        self._is_async = inspect.iscoroutinefunction(tool.log)

    async def log(self, session_id: str, turns: int, events: int | None) -> None:
        """Log a conversation, or its first events, one awaited or plain call after the other."""
        tool, log, is_async, took_ns = self._tool, self._tool.log, self._is_async, self.took_ns
        clock = time.perf_counter_ns
        for event in itertools.islice(list(conversation(session_id, turns)), events):
            item = tool.prepare(event)
            if item is None:
                continue
            if self._pause_s:
                await self._pause()
            begin = clock()
            try:
                if is_async:
                    await log(item)
                else:
                    log(item)
            except Exception as error:  # noqa: BLE001  # whatever the tool raises is what its caller would have to deal with
                self.errors[type(error).__name__] += 1
            took_ns.append(clock() - begin)

    async def _pause(self) -> None:
        """An async tool may have work to do on its loop meanwhile."""
        if self._is_async:
            await asyncio.sleep(self._pause_s)
        else:
            time.sleep(self._pause_s)  # noqa: ASYNC251  # nothing else runs on this loop


async def settled(result: Any) -> None:
    if inspect.isawaitable(result):
        await result


async def until_told(tool: Tool, parent: int) -> None:
    """Make sure that the tool is at work and its database there; then wait for what is to be done to it."""
    await Calls(tool, 0).log("before", 1, None)
    await settled(tool.durable())
    os.write(parent, b"ready\n")
    sys.stdin.readline()


def installed() -> dict[str, str]:
    return {each.metadata["Name"]: each.version for each in metadata.distributions()}


async def run(plan: dict[str, Any], parent: int) -> None:
    folder = Path(plan["folder"])
    file, _, name = plan["tool"].partition(":")
    module = importlib.import_module(f"benchmarks.peers.tools.{file}")
    tool: Tool = getattr(module, name or "Peer")(folder, plan["url"])
    if plan["waits"]:
        await until_told(tool, parent)
    calls = Calls(tool, plan["pause_s"])
    gc.collect()
    gc.disable()  # one tool's garbage is not more typical than another's
    begin = time.monotonic()
    for number in range(plan["conversations"]):
        await calls.log(f"session-{number:06}", plan["turns"], plan["events"])
        if time.monotonic() - begin > plan["seconds"]:
            break
    if plan["is_killed"]:
        os.write(parent, b"%d\n" % len(calls.took_ns))
        os.kill(os.getpid(), signal.SIGKILL)
    found: dict[str, Any] = {"took_ns": calls.took_ns, "errors": calls.errors, "called_at": time.monotonic()}
    gc.enable()
    if not plan["is_sick"]:
        await settled(tool.durable())
        found |= {"durable_s": time.monotonic() - begin, "installed": installed()}
        found |= {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    (folder / FOUND).write_text(json.dumps(found), encoding="utf-8")
    await settled(tool.close())


if __name__ == "__main__":
    to_parent = os.dup(1)
    os.dup2(2, 1)  # tools print
    asyncio.run(run(json.loads(sys.argv[1]), to_parent))
