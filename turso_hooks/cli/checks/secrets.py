"""Keeping secrets out of what is shown: servers echo what they were sent, and settings errors what was set. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote

_TOKEN = re.compile(r"\beyJ[\w-]{4,}(\.[\w-]*)*")
"""Base64 of a JSON object, which is how a JWT begins."""

_HIDDEN = "***"
_SHORTEST = 6
"""What is shorter is part of too many words."""


def hiding(database_url: str | None, auth_token: str | None) -> Callable[[str], str]:
    """What takes the secrets of a URL, a token, and all that looks like one, out of a text."""
    secrets = {secret.strip() for secret in (auth_token or "", *_secrets_of(database_url or ""))}
    ordered = sorted((secret for secret in secrets if len(secret) >= _SHORTEST), key=len, reverse=True)

    def hide(text: str) -> str:
        for secret in ordered:
            text = text.replace(secret, _HIDDEN)
        return _TOKEN.sub(_HIDDEN, text)

    return hide


def _secrets_of(url: str) -> Iterator[str]:
    """What may be secret in a URL, also in one that cannot be read: the user, the query, the fragment."""
    head, _, fragment = url.partition("#")
    head, _, query = head.partition("?")
    user = head.partition("//")[2].partition("/")[0].rpartition("@")[0]
    yield from (query, fragment, user, user.partition(":")[2])
    for pair in f"{query}&{fragment}".split("&"):
        value = pair.partition("=")[2]
        yield from (value, unquote(value))
