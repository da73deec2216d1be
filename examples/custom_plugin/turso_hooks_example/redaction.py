"""A plugin that hides what looks like a secret, wherever in an event it stands, before anything is kept.

It runs on the agent's thread, so its patterns take time in proportion to the text.
"""

from __future__ import annotations

import re

from turso_hooks import Event, NoteAdded, hookimpl, replace_texts

# Linear: a pattern that fails late does not start again inside what it has read (the first look back of `email` sees to that).
# In JSON as text, and in a repr, a word may follow the `n` of `\n`.
_WORD_BEGINS = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"
_PATTERNS = {
    "[redacted: bearer token]": re.compile(_WORD_BEGINS + r"(?i:bearer)\s{1,8}[A-Za-z0-9._~+/-]{20,}={0,2}"),
    "[redacted: api key]": re.compile(
        _WORD_BEGINS + r"(?:sk-[A-Za-z0-9_-]{20,}"  # OpenAI, Anthropic
        r"|[rs]k_(?:live|test)_[A-Za-z0-9]{20,}"  # Stripe
        r"|(?:gh[oprsu]|github_pat)_[A-Za-z0-9_]{20,}"  # GitHub
        r"|xox[abeoprs]-[A-Za-z0-9-]{20,}"  # Slack
        r"|A[KS]IA[A-Z0-9]{16}"  # AWS
        r"|AIza[A-Za-z0-9_-]{35})"  # Google
    ),
    "[redacted: email]": re.compile(r"(?<![\w.%+-])[\w.%+-]+@[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}"),  # not `name@1.2.3`
}
_DROPPED_NOTE = "scratchpad"


@hookimpl
def redact_event(event: Event) -> Event | None:
    """The event as it may be kept: the very same one if nothing is to be hidden, None for a note named `scratchpad`."""
    if isinstance(event, NoteAdded) and event.name == _DROPPED_NOTE:
        return None
    return replace_texts(event, redact_text)


def redact_text(text: str) -> str:
    """`text` with a mark in place of each secret."""
    for mark, pattern in _PATTERNS.items():
        text = pattern.sub(mark, text)
    return text
