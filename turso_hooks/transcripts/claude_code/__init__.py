"""Transcripts of Claude Code, lines to events: what a session and its sub-agents said, called, used and cost. Pure.

A session is one file of JSON Lines, `~/.claude/projects/{folder}/{session id}.jsonl`; each of its sub-agents has another beside
it, `{session id}/subagents/agent-{agent id}.jsonl`, with a `.meta.json` that says who asked for it. The format is Claude Code's
own and not documented; this is what version 2.1.331 was seen to write. A model's answer comes as one line a content block, all
with the same message id and usage. A file grows while its session lives and when it is resumed; a forked session begins with a
copy of the lines of the one it comes from.

`Reader` takes the lines in order and remembers little: what it must know of earlier lines is in its `State`, which can be kept
and given to another reader later. It never raises for a line: what it does not understand it counts in `not_understood`, and
keeps as a note if it can; what is of no use to a reader of conversations it counts in `skipped`.

Ids, the same as those of the hooks and of the SDK, so that all of them meet in the same rows:

    session            its id; of a sub-agent `{session id}/agent-{agent id}`
    user's prompt      its `promptId`
    assistant message  the id that the API gave it; the same for the model call
    tool call          the id that the model gave it; the same for the message with its result
    anything else      the `uuid` of its line

`reader` takes lines, `line` makes the events of one, `session` those of what is remembered of earlier ones, which is `state`;
`files` is what is to be had of a file without reading it whole, `vocabulary` what the hooks and the SDK's adapter say alike.
"""

from __future__ import annotations

from turso_hooks.transcripts.claude_code.files import SubAgent, last_prices, sub_agent_of, value_of
from turso_hooks.transcripts.claude_code.reader import Reader
from turso_hooks.transcripts.claude_code.state import State
from turso_hooks.transcripts.claude_code.vocabulary import (
    AGENT_TYPE,
    INTERRUPTED,
    SYNTHETIC,
    child_session_id,
    denied,
    title_of,
)

__all__ = [
    "AGENT_TYPE",
    "INTERRUPTED",
    "SYNTHETIC",
    "Reader",
    "State",
    "SubAgent",
    "child_session_id",
    "denied",
    "last_prices",
    "sub_agent_of",
    "title_of",
    "value_of",
]
