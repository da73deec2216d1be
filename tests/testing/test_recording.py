"""The recording plugin hears everything in its order; made events are what they say."""

from __future__ import annotations

import threading

import pytest

from turso_hooks.events import EVENT_TYPES, MessageAdded, SessionEnded, hook_name
from turso_hooks.manager import PluginManager, get_plugin_manager
from turso_hooks.testing import make_conversation, make_event, recording


def test_every_hook_is_heard_and_only_meanwhile() -> None:
    manager = PluginManager()
    events = [make_event(hook_name(kind)) for kind in EVENT_TYPES]
    with recording(manager) as recorded:
        for event in events:
            manager.emit(event)
    manager.emit(make_event("note_added"))
    assert recorded.events == events
    assert [type(event) for event in events] == list(EVENT_TYPES)
    assert recorded.of(MessageAdded) == [events[1]]
    assert recorded.of(SessionEnded, "nobody") == []
    recorded.clear()
    assert recorded.events == []


def test_threads_may_emit_at_once() -> None:
    def emit() -> None:
        for event in make_conversation(threading.current_thread().name):
            get_plugin_manager().emit(event)

    threads = [threading.Thread(target=emit) for _ in range(8)]
    with recording() as recorded:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(recorded.events) == 8 * len(make_conversation())
    for thread in threads:
        of_one = [event for event in recorded.events if event.session_id == thread.name]
        assert of_one == make_conversation(thread.name)


def test_a_made_conversation_is_the_same_for_the_same_arguments_and_another_for_others() -> None:
    assert make_conversation("a", seed=1) == make_conversation("a", seed=1)
    assert make_conversation("a", seed=1) != make_conversation("a", seed=2)
    ids = [event.event_id for name in "ab" for event in make_conversation(name, turns=5)]
    assert len(set(ids)) == len(ids)
    assert [type(event) for event in make_conversation(turns=0)] == [EVENT_TYPES[0], SessionEnded]


def test_an_event_that_cannot_be_made_says_why() -> None:
    with pytest.raises(ValueError, match=r"no hook 'message_sent': there are session_started, "):
        make_event("message_sent")
    with pytest.raises(TypeError, match="colour"):
        make_event("message_added", colour="red")
