"""A plugin that keeps what is emitted, in its order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from turso_hooks.events import EVENT_TYPES, Event, hook_name
from turso_hooks.hookspecs import hookimpl
from turso_hooks.manager import PluginManager, get_plugin_manager

E = TypeVar("E", bound=Event)


class RecordingPlugin:
    """Keeps every event that it hears of, as it was emitted: before redactors, and whether or not a database is set.

    May be called by any number of threads. Register it with a plugin manager, or let `recording` do that.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        """What was emitted, in the order of the calls."""

    def of(self, kind: type[E], session_id: str | None = None) -> list[E]:
        """The events of one kind; of one session, if it is named."""
        return [
            event for event in self.events if isinstance(event, kind) and (session_id is None or event.session_id == session_id)
        ]

    def clear(self) -> None:
        """Forget all of them."""
        self.events.clear()

    def _keep(self, event: Event) -> None:
        self.events.append(event)


for _kind in EVENT_TYPES:
    # One function a hook: pluggy finds implementations by their names.
    def _implementation(self: RecordingPlugin, event: Event) -> None:
        self._keep(event)

    _implementation.__name__ = _implementation.__qualname__ = hook_name(_kind)
    setattr(RecordingPlugin, hook_name(_kind), hookimpl(_implementation))


@contextmanager
def recording(manager: PluginManager | None = None) -> Iterator[RecordingPlugin]:
    """Keep what is emitted through a plugin manager meanwhile: that of the process, unless another is given."""
    manager = get_plugin_manager() if manager is None else manager
    plugin = RecordingPlugin()
    manager.register(plugin)
    try:
        yield plugin
    finally:
        manager.unregister(plugin)
