"""One of the soak's processes: logs numbered steps at a steady rate until SIGTERM, then closes and says how that went.

    python agent.py KIND RUN STEPS_A_SECOND CLOSE_WITHIN_S SAID

Each number goes into every row of its step, and into the file SAID once the step's hook calls have returned.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from itertools import count

import turso_hooks
from turso_hooks import ConversationLogger, MessageAdded, SessionEnded, SessionStarted, ToolCallFinished, ToolCallStarted, Usage

AT_ONCE = 4
"""Threads, or tasks, of the kinds that have several."""

STEPS_A_SESSION = 100
FILLER = "x" * 200


class Agent:
    """Numbers the steps, paces them, and keeps the record of those that are done."""

    def __init__(self, run: str, steps_a_second: float, said: str) -> None:
        self.run = run
        self.ending = threading.Event()
        self.log = ConversationLogger(agent_type="soak", model="gpt-5.1", provider="openai")
        self.hook = turso_hooks.get_plugin_manager().hook
        self._rate = steps_a_second
        self._numbers = count()
        self._said = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def text(self, n: int) -> str:
        return f"{self.run} {n} {FILLER}"

    def steadily(self, step: Callable[[str, int], None], share: int = 1) -> None:
        """Log steps, at one of `share` equal parts of the rate."""
        due = time.monotonic()
        while not self.ending.wait(max(due - time.monotonic(), 0)):
            self._one(step)
            due += share / self._rate

    async def steadily_async(self, share: int) -> None:
        due = time.monotonic()
        while not self.ending.is_set():
            await asyncio.sleep(max(due - time.monotonic(), 0))
            n = self._begin()
            with self.log.tool_call(self._session(n), "bash", self.text(n), tool_call_id=f"call-{n}") as call:
                await asyncio.sleep(0)  # the other tasks' events come in between
                call.output = n
            self.log.log_message(self._session(n), "assistant", self.text(n), position=n)
            self._end(n)
            due += share / self._rate

    def by_hooks(self, session_id: str, n: int) -> None:
        event = MessageAdded(session_id=session_id, role="user", content=self.text(n), position=n)
        self.hook.message_added(event=event)
        call = {"session_id": session_id, "tool_call_id": f"call-{n}", "tool_name": "bash"}
        self.hook.tool_call_started(event=ToolCallStarted(**call, input={"command": FILLER}))
        self.hook.tool_call_finished(event=ToolCallFinished(**call, output=n))

    def by_logger(self, session_id: str, n: int) -> None:
        with self.log.model_call(session_id, model_call_id=f"model-{n}") as call:
            call.usage, call.finish_reason = Usage(input=n, output=1), "tool_use"
        with self.log.tool_call(session_id, "bash", {"command": FILLER}, tool_call_id=f"call-{n}") as call:
            call.output = n
        self.log.log_message(session_id, "assistant", self.text(n), position=n)
        self.log.log_note(session_id, "step", n)

    def _one(self, step: Callable[[str, int], None]) -> None:
        n = self._begin()
        step(self._session(n), n)
        self._end(n)

    def _session(self, n: int) -> str:
        return f"{self.run}/{n // STEPS_A_SESSION}"

    def _begin(self) -> int:
        n = next(self._numbers)
        if n % STEPS_A_SESSION == 0:
            self.hook.session_started(event=SessionStarted(session_id=self._session(n), agent_type="soak"))
        return n

    def _end(self, n: int) -> None:
        if (n + 1) % STEPS_A_SESSION == 0:
            self.hook.session_ended(event=SessionEnded(session_id=self._session(n)))
        os.write(self._said, f"{n}\n".encode())


async def several_tasks(agent: Agent) -> None:
    await asyncio.gather(*(agent.steadily_async(AT_ONCE) for _ in range(AT_ONCE)))


def work_of(kind: str, agent: Agent) -> list[Callable[[], None]]:
    """What each of the process's threads does."""
    if kind == "asyncio":
        return [lambda: asyncio.run(several_tasks(agent))]
    if kind == "conversation":
        return [lambda: agent.steadily(agent.by_logger)]
    threads = AT_ONCE if kind == "threaded" else 1
    return [lambda: agent.steadily(agent.by_hooks, threads)] * threads


def main() -> None:
    kind, run, rate, close_within_s, said = sys.argv[1:]
    logging.basicConfig(level=logging.INFO)
    # Blocked before there are threads, so that only the wait below gets it; a handler could not set the event safely.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    agent = Agent(run, float(rate), said)
    threads = [threading.Thread(target=work) for work in work_of(kind, agent)]
    for thread in threads:
        thread.start()
    signal.sigwait({signal.SIGTERM})
    agent.ending.set()
    for thread in threads:
        thread.join()
    print(json.dumps(dataclasses.asdict(turso_hooks.close(float(close_within_s)))))


if __name__ == "__main__":
    main()
