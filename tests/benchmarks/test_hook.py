"""What a hook call costs the agent's thread, beside a bare write, a bare insert and a bare pluggy call."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pluggy
import pytest

from turso_hooks import MessageAdded, hookimpl, hookspecs
from turso_hooks.events import encode
from turso_hooks.manager import build_plugin_manager
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings
from turso_hooks.store import row_of

pytestmark = pytest.mark.benchmark(group="hook")

KIB = 1024
TEXT = "x" * 897
FLAT_OUT_CALLS = 10_000
PACED_CALLS = 250
PAUSE_S = 0.005

Contenders = dict[str, Callable[[], Callable[[], object]]]


def message() -> MessageAdded:
    return MessageAdded(session_id="session-1", role="user", content=TEXT)


@pytest.fixture
def contenders(
    request: pytest.FixtureRequest, tmp_path: Path, floor: Callable[..., Any], logging_to: Callable[..., Any]
) -> Contenders:
    """One message of a KiB, encoded: written bare, inserted bare, and logged. The parameter is how often the shipper looks."""
    payload = encode(message())
    assert KIB - 24 <= len(payload) <= KIB + 24
    fd = os.open(tmp_path / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    by_hand = floor("bare")
    _, idle = logging_to("idle", ship_interval_s=1e6)
    _, shipping = logging_to("shipping", ship_interval_s=request.param)

    def insert() -> Callable[[], object]:
        return partial(by_hand.connection.execute, *by_hand.statement(row_of(message())))

    def built(hook: Any) -> Callable[[], object]:
        call, build, text = hook.message_added, MessageAdded, TEXT
        return lambda: call(event=build(session_id="session-1", role="user", content=text))

    def prebuilt(hook: Any) -> Callable[[], object]:
        return partial(hook.message_added, event=message())

    return {
        "os.write": lambda: partial(os.write, fd, payload),
        "autocommit insert": insert,
        "built": partial(built, idle.hook),
        "prebuilt": partial(prebuilt, idle.hook),
        "built, shipping": partial(built, shipping.hook),
        "prebuilt, shipping": partial(prebuilt, shipping.hook),
    }


@pytest.mark.parametrize("contenders", [0.001], indirect=True)
def test_flat_out(measure: Callable[..., Any], in_turns: Callable[..., Any], contenders: Contenders) -> None:
    found = measure(lambda: in_turns(contenders, FLAT_OUT_CALLS))
    for name in ("built", "built, shipping"):
        found.compare(f"hook call, 1 KiB, event {name}, flat out: p50", name, "os.write", "p50", "us", most=7)
        found.compare("the same", name, "autocommit insert", "p50", "us", most=0.35)
        found.compare("the same: p99", name, "autocommit insert", "p99", "us")
    for name in ("prebuilt", "prebuilt, shipping"):
        found.compare(f"hook call, 1 KiB, event {name}, flat out: p50", name, "os.write", "p50", "us", most=5)


@pytest.mark.parametrize("contenders", [Settings().ship_interval_s], indirect=True)
def test_paced(measure: Callable[..., Any], in_turns: Callable[..., Any], contenders: Contenders) -> None:
    found = measure(lambda: in_turns(contenders, PACED_CALLS, PAUSE_S))
    for name in ("built", "built, shipping"):
        found.compare(f"hook call, 1 KiB, event {name}, every 5 ms: p50", name, "os.write", "p50", "us", most=5)
        found.compare("the same", name, "autocommit insert", "p50", "us", most=0.9)
        found.compare("the same: p99", name, "autocommit insert", "p99", "us", most=0.5)
    found.compare("hook call, 1 KiB, event prebuilt, every 5 ms: p50", "prebuilt", "os.write", "p50", "us", most=5)


class Empty:
    @hookimpl
    def message_added(self, event: object) -> None:
        pass


def test_not_configured(measure: Callable[..., Any], in_turns: Callable[..., Any]) -> None:
    bare = pluggy.PluginManager("turso_hooks")
    bare.add_hookspecs(hookspecs)
    bare.register(Empty())
    ours = build_plugin_manager(Recorder(Settings()))
    event = message()
    contenders = {
        "pluggy, empty plugin": lambda: partial(bare.hook.message_added, event=event),
        "not configured": lambda: partial(ours.hook.message_added, event=event),
    }
    found = measure(lambda: in_turns(contenders, FLAT_OUT_CALLS))
    found.compare("hook call, not configured: p50", "not configured", "pluggy, empty plugin", "p50", "us", most=1.5)
