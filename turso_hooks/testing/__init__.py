"""For those who write adapters, plugins and runners: what tells in a test whether theirs do what they should.

- `recording()` gives everything that is emitted meanwhile; `RecordingPlugin` is the plugin that does it.
- `assert_emits_correctly(…)` fails with a list of what an emitter forgets, `problems_of(events)` gives that list, `RULES` has
  what is looked at. `turso-hooks conformance` does the same for a command, or for a database.
- `make_event(…)` and `make_conversation(…)` make events to try a plugin with.
- `FailingClient` is a database client that fails on demand.

For pytest there are fixtures, found without being asked for: see `turso_hooks.pytest_plugin`.
"""

from __future__ import annotations

from turso_hooks.testing.conformance import RULES, Problem, assert_emits_correctly, problems_of
from turso_hooks.testing.factories import make_conversation, make_event
from turso_hooks.testing.faults import FailingClient
from turso_hooks.testing.recording import RecordingPlugin, recording

__all__ = [
    "RULES",
    "FailingClient",
    "Problem",
    "RecordingPlugin",
    "assert_emits_correctly",
    "make_conversation",
    "make_event",
    "problems_of",
    "recording",
]
