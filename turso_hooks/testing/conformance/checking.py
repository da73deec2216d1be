"""Looking at what was emitted by all rules; and running what emits."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Collection, Iterable
from datetime import timezone
from typing import NamedTuple

from turso_hooks.events import Event, decode, encode
from turso_hooks.testing.conformance.rules import RULES, rules
from turso_hooks.testing.conformance.sessions import Session
from turso_hooks.testing.recording import recording


class Problem(NamedTuple):
    """Where a rule is not kept."""

    rule: str
    """Its name in `RULES`."""
    session_id: str
    what: str
    """In words."""

    def __str__(self) -> str:
        """One line."""
        return f"session {self.session_id!r:.80}: {self.what} ({self.rule})"


def problems_of(events: Iterable[object], *, allow: Collection[str] = (), are_rows: bool = False) -> list[Problem]:
    """Where events, in the order in which they were emitted, do not keep the `RULES`; those in `allow` are not looked at.

    `are_rows` says that they were read from a database (`Reader.events`), which tells nothing of how they came. Raises
    `ValueError` for a rule that does not exist.
    """
    if unknown := set(allow) - set(RULES):
        raise ValueError(f"there is no rule {min(unknown)!r:.40}: there are {', '.join(RULES)}")
    sessions: dict[str, Session] = {}
    problems: list[Problem] = []
    for event in events:
        if not isinstance(event, Event):
            problems.append(Problem("values-fit", "", f"a {type(event).__name__} is no event"))
            continue
        kept = decode(encode(event))
        session = sessions.setdefault(kept.session_id, Session(kept.session_id))
        session.events.append(kept)
        if getattr(event.occurred_at, "tzinfo", timezone.utc) is None:
            session.without_zone.append(kept)
    meant = {
        name: rule for name, rule in rules.all.items() if name not in allow and not (are_rows and name not in rules.of_rows)
    }
    return problems + [
        Problem(name, session.session_id, what)
        for session in sessions.values()
        for name, rule in meant.items()
        for what in rule(session, sessions)
    ]


def assert_emits_correctly(emitter: Callable[[], object] | Iterable[Event], *, allow: Collection[str] = ()) -> list[Event]:
    """Fail with a list of all that an emitter forgets, as `AssertionError`; return what it emitted.

    `emitter` is called, and awaited if it is a coroutine function; what it emits through the plugin manager of the process
    (`get_plugin_manager()`) meanwhile is looked at. Or it is the events themselves. `allow` names rules that need not be kept.
    """
    events = _emitted(emitter) if callable(emitter) else list(emitter)
    if not events:
        raise AssertionError("nothing was emitted: hooks are called on `turso_hooks.get_plugin_manager().hook`")
    if problems := problems_of(events, allow=allow):
        lines = [
            f"{len(events)} events were emitted, and {len(problems)} things are not as they should be:",
            *map(str, problems),
        ]
        raise AssertionError("\n  ".join(lines))
    return events


def _emitted(emitter: Callable[[], object]) -> list[Event]:
    with recording() as recorded:
        result = emitter()
        if inspect.iscoroutine(result):
            asyncio.run(result)
    return recorded.events
