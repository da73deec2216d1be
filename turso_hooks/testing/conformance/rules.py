"""The rules: functions whose docstrings say what should be; each names the places where it is not so, in one sentence.

Those that rows of a database can tell as well are marked: in rows, what came twice is there once, in the order of time.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    ModelCallStarted,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
    hook_name,
    to_microseconds,
)
from turso_hooks.testing.conformance.sessions import Session, Sessions

_ROLES = ("system", "user", "assistant", "tool")
_STATUSES = (None, "completed", "error", "cancelled")

Rule = Callable[[Session, Sessions], Iterator[str]]
"""Of a session among others: where it is not as it should be, in words."""


class Rules:
    """The rules by their names."""

    def __init__(self) -> None:
        self.all: dict[str, Rule] = {}
        self.of_rows: set[str] = set()
        """Those that rows of a database can tell as well."""

    def add(self, *, of_rows: bool) -> Callable[[Rule], Rule]:
        """Add a function as a rule, under its name."""

        def add(rule: Rule) -> Rule:
            name = rule.__name__.strip("_").replace("_", "-")
            self.all[name] = rule
            if of_rows:
                self.of_rows.add(name)
            return rule

        return add


rules = Rules()


@rules.add(of_rows=False)
def _session_started(session: Session, _: Sessions) -> Iterator[str]:
    """A session's first event is its start: who it is, and with which model."""
    first = session.events[0]
    if not isinstance(first, SessionStarted):
        yield f"{hook_name(first)} comes before session_started" if session.of(SessionStarted) else "session_started is missing"


@rules.add(of_rows=True)
def _session_ended(session: Session, _: Sessions) -> Iterator[str]:
    """A session ends, also when its agent fails or is stopped."""
    if not session.of(SessionEnded):
        yield "session_ended is missing"


@rules.add(of_rows=False)
def _nothing_after_end(session: Session, _: Sessions) -> Iterator[str]:
    """After its end nothing comes of a session, unless it is started again first."""
    is_over = False
    for event in session.events:
        if is_over and not isinstance(event, SessionStarted):
            yield f"{hook_name(event)} comes after session_ended"
        is_over = isinstance(event, SessionEnded) or (is_over and not isinstance(event, SessionStarted))


@rules.add(of_rows=True)
def _calls_have_ids(session: Session, _: Sessions) -> Iterator[str]:
    """A call that is told by its start has an id: without one its end makes a row of its own."""
    for event in session.of(ToolCallStarted, ModelCallStarted):
        if not event.source_id:
            yield f"{hook_name(event)} has no {event.row_kind}_id"


@rules.add(of_rows=True)
def _calls_end(session: Session, _: Sessions) -> Iterator[str]:
    """A call that started ends, also when it fails, is interrupted or refused."""
    for started, finished in ((ToolCallStarted, ToolCallFinished), (ModelCallStarted, ModelCallFinished)):
        over = {event.source_id for event in session.of(finished)}
        for event in session.of(started):
            if event.source_id and event.source_id not in over:
                yield f"{hook_name(event)} {event.source_id!r:.80} has no end"


@rules.add(of_rows=False)
def _calls_start_once(session: Session, _: Sessions) -> Iterator[str]:
    """An id belongs to one call: two with the same become one row."""
    for kind in (ToolCallStarted, ToolCallFinished, ModelCallStarted, ModelCallFinished):
        for source_id, number in Counter(event.source_id for event in session.of(kind)).items():
            if source_id and number > 1:
                yield f"{hook_name(kind)} {source_id!r:.80} comes {number} times"


@rules.add(of_rows=False)
def _starts_before_ends(session: Session, _: Sessions) -> Iterator[str]:
    """A call starts before it ends: in the order of events, and by their times."""
    for started, finished in ((ToolCallStarted, ToolCallFinished), (ModelCallStarted, ModelCallFinished)):
        ends = {event.source_id: n for n, event in enumerate(session.events) if isinstance(event, finished) and event.source_id}
        for n, event in enumerate(session.events):
            end = ends.get(event.source_id or "") if isinstance(event, started) else None
            if end is not None and (end < n or _at(session.events[end]) < _at(event)):
                yield f"{hook_name(finished)} {event.source_id!r:.80} comes before its start"


@rules.add(of_rows=True)
def _tools_have_names(session: Session, _: Sessions) -> Iterator[str]:
    """Of each tool call it is said, at its start or its end, which tool it is."""
    named = {event.tool_call_id for event in session.of(ToolCallStarted, ToolCallFinished) if event.tool_name}
    nameless = [event for event in session.of(ToolCallStarted, ToolCallFinished) if not event.tool_name]
    for tool_call_id in dict.fromkeys(event.tool_call_id for event in nameless):
        if not tool_call_id or tool_call_id not in named:
            yield f"the tool call {tool_call_id!r:.80} has no tool_name"


@rules.add(of_rows=True)
def _results_have_calls(session: Session, _: Sessions) -> Iterator[str]:
    """What a tool answered names the call that it answers, and that call is told or asked for in a message."""
    known = session.tool_call_ids()
    answers = [
        (f"the message {message.message_id!r:.80} of the role tool", message.tool_call_id)
        for message in session.of(MessageAdded)
        if message.role == "tool" and not any(of is message for of, _ in session.parts("tool_result"))
    ]
    answers += [("a tool_result", part["tool_call_id"]) for _, part in session.parts("tool_result")]
    for what, tool_call_id in answers:
        if not tool_call_id:
            yield f"{what} has no tool_call_id"
        elif tool_call_id not in known:
            yield f"{what} answers {tool_call_id!r:.80}, which nobody called"


@rules.add(of_rows=True)
def _asked_calls_are_told(session: Session, _: Sessions) -> Iterator[str]:
    """A tool call that a model asked for in a message is told by tool call events as well, if only that it was cancelled."""
    told = {event.tool_call_id for event in session.of(ToolCallStarted, ToolCallFinished)}
    for _message, part in session.parts("tool_call"):
        if part["tool_call_id"] not in told:
            yield f"the tool call {part['tool_call_id']!r:.80} that a message asks for is not told by a tool call event"


@rules.add(of_rows=True)
def _usage_is_told(session: Session, _: Sessions) -> Iterator[str]:
    """A model call that did not fail says how many tokens it took."""
    for event in session.of(ModelCallFinished):
        if event.error is None and (event.usage is None or event.usage.input is None or event.usage.output is None):
            yield f"model_call_finished {event.model_call_id!r:.80} has no usage with input and output"


@rules.add(of_rows=True)
def _usage_adds_up(session: Session, _: Sessions) -> Iterator[str]:
    """Input tokens include those of the cache, and output tokens those of reasoning; none is below zero."""
    for event in session.of(ModelCallFinished):
        numbers = {name: getattr(event.usage, name) or 0 for name in event.usage.__struct_fields__} if event.usage else {}
        if not numbers:
            continue
        which = f"model_call_finished {event.model_call_id!r:.80}"
        if min(numbers.values()) < 0:
            yield f"{which} has a number of tokens below zero"
        if event.usage and event.usage.input is not None and numbers["input"] < numbers["cache_read"] + numbers["cache_write"]:
            yield f"{which} has more cached input tokens than input tokens"
        if event.usage and event.usage.output is not None and numbers["output"] < numbers["reasoning"]:
            yield f"{which} has more reasoning tokens than output tokens"


@rules.add(of_rows=True)
def _models_have_names(session: Session, _: Sessions) -> Iterator[str]:
    """Of each model call it is said, by it or by its session's start, which model it is."""
    named = {event.model_call_id for event in session.of(ModelCallStarted, ModelCallFinished) if event.model}
    for event in session.of(ModelCallFinished):
        if not event.model and not session.model and event.model_call_id not in named:
            yield f"model_call_finished {event.model_call_id!r:.80} has no model"


@rules.add(of_rows=True)
def _parents_are_known(session: Session, sessions: Sessions) -> Iterator[str]:
    """A sub-agent's session names the session that it works for, which is told as well, and a tool call of that."""
    for event in session.of(SessionStarted):
        parent_id, tool_call_id = event.parent_session_id, event.parent_tool_call_id
        if parent_id is None:
            if tool_call_id is not None:
                yield f"parent_tool_call_id is {tool_call_id!r:.80}, without parent_session_id"
        elif parent_id == session.session_id:
            yield "it is its own parent"
        elif parent_id not in sessions:
            yield f"its parent {parent_id!r:.80} is not told"
        elif tool_call_id is not None and tool_call_id not in sessions[parent_id].tool_call_ids():
            yield f"its parent {parent_id!r:.80} has no tool call {tool_call_id!r:.80}"


@rules.add(of_rows=False)
def _in_order_of_time(session: Session, _: Sessions) -> Iterator[str]:
    """What is said later happened later: messages are read in the order of their times, then of their positions."""
    begin = next((_at(event) for event in session.of(SessionStarted)), None)
    for event in session.events:
        if begin is not None and _at(event) < begin:
            yield f"{hook_name(event)} happened before session_started"
            break
    messages = session.of(MessageAdded)
    for one, other in pairwise(messages):
        if (_at(other), other.position or 0) < (_at(one), one.position or 0):
            yield f"the message {other.message_id!r:.80} happened before the one that was added before it"


@rules.add(of_rows=False)
def _times_have_zones(session: Session, _: Sessions) -> Iterator[str]:
    """Times have a zone: without one they are taken as UTC."""
    for event in session.without_zone[:1]:
        yield f"{hook_name(event)} has a time without a zone"


@rules.add(of_rows=False)
def _events_come_once(session: Session, _: Sessions) -> Iterator[str]:
    """Each event has an id of its own."""
    for event_id, number in Counter(event.event_id for event in session.events).items():
        if number > 1:
            yield f"the event {event_id!r:.80} comes {number} times"


@rules.add(of_rows=True)
def _words_are_known(session: Session, _: Sessions) -> Iterator[str]:
    """Roles are system, user, assistant and tool, statuses completed, error and cancelled."""
    for event in session.events:
        if isinstance(event, MessageAdded) and event.role not in _ROLES:
            yield f"message_added has the role {event.role!r:.80}"
        if isinstance(event, (ToolCallFinished, SessionEnded)) and event.status not in _STATUSES:
            yield f"{hook_name(event)} has the status {event.status!r:.80}"


@rules.add(of_rows=False)
def _values_fit(session: Session, _: Sessions) -> Iterator[str]:
    """Every field has a value of its type; an id of a session is not empty."""
    if not session.session_id:
        yield "its id is empty"
    for event in session.events:
        unreadable = event.metadata.get("$unreadable") if isinstance(event.metadata, dict) else None
        if unreadable:
            yield f"{hook_name(event)} has values of a wrong type: {', '.join(sorted(unreadable))}"


RULES: dict[str, str] = {name: inspect.cleandoc(rule.__doc__ or "") for name, rule in rules.all.items()}
"""What is looked at: the name of each rule and what it asks for."""


def _at(event: Event) -> int:
    return to_microseconds(event.occurred_at)
