"""OpenCode's sessions, messages and parts to events: as its server gives them, and as they stand in its file. Pure.

A session is an object with an id `ses_…`; its messages have an `info` and parts: text, reasoning, files, tool calls, the
beginning and the end of each step, which is a model call. The format is described at `/doc` of a server (OpenAPI); this is what
version 1.18.33 was seen to say. Everything here takes what it finds: a value of another type is left out, never an error.

What is said of a message depends on nothing but the message, so it may be said as often as one likes: while it grows, when it
is whole, after a lost connection, by an import years later. It becomes the same rows.

Ids:

    session               its own
    message               its own
    model call            the message's; of its second step `{message id}/1`, and so on
    tool call             the id that the model gave it; the same for the message with its result
    compaction, retry     those of the part, of the time of the next attempt
    permission, question  its own

A session runs from each message of the user's on, and ends with the model's last answer to it: OpenCode knows no other end.

`reader` is what is used, `stream` makes notes of what only a server's stream says, `parts` takes messages apart, `stamped` is
what all events have in common, `progress` is how far a source was read.
"""

from __future__ import annotations

from turso_hooks.transcripts.opencode.parts import is_whole, is_whole_part
from turso_hooks.transcripts.opencode.progress import Progress
from turso_hooks.transcripts.opencode.reader import Reader
from turso_hooks.transcripts.opencode.stream import asked, retried, said

__all__ = ["Progress", "Reader", "asked", "is_whole", "is_whole_part", "retried", "said"]
