"""An agent that logs in its own way and keeps a diary of it: a program, started by `world` with its orders as JSON.

The diary has a line a hook call before it is made and one after it has returned, each one append, so that it tells the truth
after any death: `{process} begun {name}`, and `{process} done {name} {refused so far}`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import turso_hooks
from turso_hooks import plugin

ORDERS: dict[str, Any] = json.loads(os.environ["CHAOS_ORDERS"])
REFUSED = ("journal_full", "journal_unwritable", "journal_torn")
PADDING = 40


class Logger:
    """Logs numbered events: messages, and every fourth one a tool call."""

    def __init__(self, diary: str) -> None:
        self._diary = os.open(diary, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.hook = turso_hooks.get_plugin_manager().hook

    def note(self, *words: object) -> None:
        os.write(self._diary, (" ".join(map(str, (os.getpid(), *words))) + "\n").encode())

    def log(self, who: str, n: int) -> None:
        name = f"{ORDERS['name']}:{who}:{os.getpid()}:{n}"
        self.note("begun", name)
        try:
            if n % 4:
                padding = {"x": "x" * (n % PADDING)}
                said = turso_hooks.MessageAdded(session_id=f"s-{who}", role="user", content=name, metadata=padding)
                self.hook.message_added(event=said)
            else:
                call = turso_hooks.ToolCallFinished(session_id=f"s-{who}", tool_call_id=name, tool_name="t", output=name)
                self.hook.tool_call_finished(event=call)
        except BaseException:
            self.note("raised", traceback.format_exc().replace("\n", "|"))
            raise
        counts = plugin.recorder.counts()
        self.note("done", name, sum(counts[reason] for reason in REFUSED))

    def many(self, who: str, events: int) -> None:
        for n in range(events):
            self.log(who, n)
            if ORDERS["pause_s"]:
                time.sleep(ORDERS["pause_s"])


def loop(logger: Logger, events: int) -> None:
    logger.many("loop", events)


def threads(logger: Logger, events: int) -> None:
    started = [threading.Thread(target=logger.many, args=(f"thread{n}", events // 3)) for n in range(3)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


async def _task(logger: Logger, who: str, events: int, pause: Callable[[float], Any]) -> None:
    for n in range(events):
        logger.log(who, n)
        await pause(ORDERS["pause_s"])


def with_asyncio(logger: Logger, events: int) -> None:
    async def main() -> None:
        await asyncio.gather(*(_task(logger, f"asyncio{n}", events // 3, asyncio.sleep) for n in range(3)))

    asyncio.run(main())


def with_trio(logger: Logger, events: int) -> None:
    import trio

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for n in range(3):
                nursery.start_soon(_task, logger, f"trio{n}", events // 3, trio.sleep)

    trio.run(main)


def signals(logger: Logger, events: int) -> None:
    numbers = iter(range(events // 3))

    def handle(*_: object) -> None:
        n = next(numbers, None)
        if n is not None:
            logger.log("signal", n)

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    logger.many("main", events - events // 3)
    signal.setitimer(signal.ITIMER_REAL, 0)


def finalizers(logger: Logger, events: int) -> None:
    class Leaving:
        def __init__(self, n: int) -> None:
            self.n, self.itself = n, self

        def __del__(self) -> None:
            logger.log("finalizer", self.n)

    gc.set_threshold(5)
    for n in range(events // 2):
        Leaving(n)
        logger.log("main", n)
    gc.collect()


def fork(logger: Logger, events: int) -> None:
    busy = threading.Thread(target=logger.many, args=("beside", events // 3))
    busy.start()
    children = []
    for n in range(2):
        logger.many(f"before{n}", events // 6)
        child = os.fork()
        if child == 0:
            logger.many(f"child{n}", events // 6)
            end(logger)
            os._exit(0)
        children.append(child)
    busy.join()
    for child in children:
        os.waitpid(child, 0)


def _in_pool(arguments: tuple[str, int]) -> None:
    who, events = arguments
    Logger(ORDERS["diary"]).many(who, events)


def pool(method: str) -> Callable[[Logger, int], None]:
    def run(logger: Logger, events: int) -> None:
        logger.many("main", events // 3)
        with multiprocessing.get_context(method).Pool(2) as workers:
            workers.map(_in_pool, [(f"pool{n}", events // 6) for n in range(4)])
            workers.close()
            workers.join()

    return run


class Misbehaving:
    """A plugin that is slow, raises, and has a redactor that lets everything through."""

    @turso_hooks.hookimpl
    def message_added(self, event: object) -> None:
        time.sleep(0.0005)
        raise RuntimeError("a plugin of somebody's")

    @turso_hooks.hookimpl
    def redact_event(self, event: turso_hooks.Event) -> turso_hooks.Event:
        return event


def plugins(logger: Logger, events: int) -> None:
    turso_hooks.get_plugin_manager().register(Misbehaving())
    logger.many("plugins", events)


STYLES = {
    "loop": loop,
    "threads": threads,
    "asyncio": with_asyncio,
    "trio": with_trio,
    "signals": signals,
    "finalizers": finalizers,
    "fork": fork,
    "pool-fork": pool("fork"),
    "pool-spawn": pool("spawn"),
    "plugins": plugins,
}


def end(logger: Logger) -> None:
    """End as ordered; what lingers is ended by whoever started it."""
    ending = ORDERS["ending"]
    if ending == "close":
        turso_hooks.close(3)
        logger.many("late", 2)
        turso_hooks.close(3)
    elif ending == "_exit":
        os._exit(0)
    elif ending == "raise":
        raise SystemExit("the agent ends with an error of its own")
    elif ending == "linger":
        logger.note("lingers")
        signal.pause()


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger = Logger(ORDERS["diary"])
    logger.note("starts")
    STYLES[ORDERS["style"]](logger, ORDERS["events"])
    end(logger)


if __name__ == "__main__":
    sys.exit(main())
