"""Reading what was logged: sessions, and what is in them. Read-only, frozen results.

`with connect_sync("file:agents.db") as reader:` gives a `Reader`; its `list_sessions` and `get_session` give the rest.
"""

from __future__ import annotations

from turso_hooks.query.reader import Reader, connect_sync
from turso_hooks.query.results import Conversation, Message, ModelCall, Note, SessionSummary, ToolCall

__all__ = ["Conversation", "Message", "ModelCall", "Note", "Reader", "SessionSummary", "ToolCall", "connect_sync"]
