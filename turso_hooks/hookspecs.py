"""The hooks: one for each event, and one to redact.

A runner calls them (`hook.message_added(event=MessageAdded(...))`), a plugin implements those it wants, marked with `hookimpl`.
All take one argument, `event`, and what an event hook returns is ignored. Hooks are plain functions and are called on the
agent's thread: an implementation should be quick.
"""

from __future__ import annotations

import pluggy

from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    ModelCallStarted,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
)

PROJECT = "turso_hooks"
"""pluggy's project name, and the entry point group in which plugins are found."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as an implementation of the hook of its name."""


@hookspec
def session_started(event: SessionStarted) -> None:
    """A conversation begins, or is taken up again."""


@hookspec
def message_added(event: MessageAdded) -> None:
    """A message is part of the conversation now."""


@hookspec
def model_call_started(event: ModelCallStarted) -> None:
    """A request to a model is on its way."""


@hookspec
def model_call_finished(event: ModelCallFinished) -> None:
    """A model has answered, or failed to."""


@hookspec
def tool_call_started(event: ToolCallStarted) -> None:
    """A tool begins to run."""


@hookspec
def tool_call_finished(event: ToolCallFinished) -> None:
    """A tool has run, or failed to."""


@hookspec
def session_ended(event: SessionEnded) -> None:
    """A conversation is over."""


@hookspec
def note_added(event: NoteAdded) -> None:
    """Anything else worth keeping."""


@hookspec
def redact_event(event: Event) -> Event | None:
    """Shape what is kept: return the event as it came, a changed copy (`msgspec.structs.replace`), or None to drop it.

    Called for every event before it is recorded, each redactor with what the one before returned. One that raises, or
    returns anything else, drops the event: what should have been hidden is not kept by accident. Dropped events are counted.
    Other plugins see events as the runner said them.
    """
