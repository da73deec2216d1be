"""The vocabulary: what happens in an agent's life, as frozen structs, their ids, and their encoding as bytes.

Pure: nothing here knows of files, databases or threads, and nothing keeps state but the random source of ids.
"""

from __future__ import annotations

from turso_hooks.events.decoding import decode, decode_json
from turso_hooks.events.encoding import encode, encode_cut, encode_marked
from turso_hooks.events.ids import derived_event_id, new_event_id, row_id
from turso_hooks.events.model import (
    EVENT_TYPES,
    Event,
    FilePart,
    MessageAdded,
    ModelCallFinished,
    ModelCallStarted,
    NoteAdded,
    Part,
    ReasoningPart,
    SessionEnded,
    SessionStarted,
    TextPart,
    ToolCallFinished,
    ToolCallPart,
    ToolCallStarted,
    ToolResultPart,
    Usage,
    hook_name,
    row_id_of,
)
from turso_hooks.events.texts import replace_texts
from turso_hooks.events.times import from_microseconds, microseconds_to_text, to_microseconds, to_text, utc_now

__all__ = [
    "EVENT_TYPES",
    "Event",
    "FilePart",
    "MessageAdded",
    "ModelCallFinished",
    "ModelCallStarted",
    "NoteAdded",
    "Part",
    "ReasoningPart",
    "SessionEnded",
    "SessionStarted",
    "TextPart",
    "ToolCallFinished",
    "ToolCallPart",
    "ToolCallStarted",
    "ToolResultPart",
    "Usage",
    "decode",
    "decode_json",
    "derived_event_id",
    "encode",
    "encode_cut",
    "encode_marked",
    "from_microseconds",
    "hook_name",
    "microseconds_to_text",
    "new_event_id",
    "replace_texts",
    "row_id",
    "row_id_of",
    "to_microseconds",
    "to_text",
    "utc_now",
]
