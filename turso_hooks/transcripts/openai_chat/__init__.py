"""Conversations as the messages of OpenAI's Chat Completions API, one or many in a file.

A file is a JSON array of conversations, JSON Lines of them, or one conversation. A conversation is `{"messages": […],
"metadata": {…}}` or the bare list of messages. Format of a message: https://platform.openai.com/docs/api-reference/chat, with
the older `function_call` and role `function`, and `reasoning_content` as several providers have it.

Its session id is its `id` or `session_id` (its own, or in its metadata), else a UUIDv5 of its messages and of how many equal
conversations came before it. An id that comes again in a file with other messages gets `~n`. The same conversation therefore
becomes the same rows, however often it is read.

`files` finds the conversations in a file, `reader` makes events of them, `request` makes of turns what the API takes.
"""

from __future__ import annotations

from turso_hooks.transcripts.openai_chat.files import Found, Unreadable, conversations
from turso_hooks.transcripts.openai_chat.reader import AGENT_TYPE, Reader
from turso_hooks.transcripts.openai_chat.request import request_of

__all__ = ["AGENT_TYPE", "Found", "Reader", "Unreadable", "conversations", "request_of"]
