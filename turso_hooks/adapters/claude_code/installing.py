"""The hooks in Claude Code's settings: put in, taken out, found again. Pure.

Format: https://docs.anthropic.com/en/docs/claude-code/settings and .../hooks. Everything that is not ours stays as it is.
"""

from __future__ import annotations

import copy
import re
from typing import Any

from turso_hooks.errors import SettingsError
from turso_hooks.transcripts.claude_code_hooks import REGISTERED

_OURS = re.compile(r"turso-hooks(\.exe)?['\"]? hook claude-code$")
_NOTHING = object()
_TIMEOUT_S = 10
"""It takes milliseconds; a disk that hangs shall not hold up an agent for the minute that is Claude Code's default."""


def with_hooks(settings: dict[str, Any], command: str) -> dict[str, Any]:
    """The settings with `command` as a hook of every event worth one. Raises `SettingsError` if they have another form."""
    changed = without_hooks(settings)
    hooks = _hooks(changed)
    for event, may_go_on in REGISTERED.items():
        hook: dict[str, Any] = {"type": "command", "command": command, "timeout": _TIMEOUT_S}
        if may_go_on:
            hook["async"] = True
        hooks.setdefault(event, []).append({"hooks": [hook]})
    changed["hooks"] = hooks
    return changed if changed != settings else settings


def without_hooks(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings without hooks of ours, whatever path they name, and without what is empty then."""
    changed = copy.deepcopy(settings)
    hooks = _hooks(changed)
    for event, entries in list(hooks.items()):
        kept = [entry for entry in map(_without_ours, entries) if entry is not _NOTHING]
        if kept or not entries:
            hooks[event] = kept
        else:
            del hooks[event]
    if not hooks and settings.get("hooks"):
        del changed["hooks"]
    return changed


def hooked_events(settings: dict[str, Any]) -> list[str]:
    """The events that have a hook of ours."""
    hooks = _hooks(settings)
    return [event for event, entries in hooks.items() if any(_without_ours(entry) != entry for entry in entries)]


def _hooks(settings: dict[str, Any]) -> dict[str, list[Any]]:
    hooks = settings.get("hooks", {})
    if not isinstance(hooks, dict) or not all(isinstance(entries, list) for entries in hooks.values()):
        raise SettingsError('"hooks" is not an object of lists, as Claude Code has it: mend that first')
    return hooks


def _without_ours(entry: Any) -> Any:
    """An entry without hooks of ours; `_NOTHING` if it had no others."""
    if not isinstance(entry, dict) or not isinstance(entry.get("hooks"), list):
        return entry
    kept = [hook for hook in entry["hooks"] if not _is_ours(hook)]
    if len(kept) == len(entry["hooks"]):
        return entry
    return {**entry, "hooks": kept} if kept else _NOTHING


def _is_ours(hook: Any) -> bool:
    command = hook.get("command") if isinstance(hook, dict) else None
    return isinstance(command, str) and _OURS.search(command) is not None
