"""turso-hooks: agent lifecycle hooks, and a plugin that keeps every conversation in a libSQL/Turso database.

    import turso_hooks

    hook = turso_hooks.get_plugin_manager().hook
    hook.message_added(event=turso_hooks.MessageAdded(session_id="s1", role="user", content="Hello"))

With `TURSO_DATABASE_URL` set, that line is a row of a database a moment later. Names are loaded when they are first used, so
that importing the package costs little.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what imports this package may be a hook, and typing costs as much as all the rest of it
if TYPE_CHECKING:
    from typing import Any

    from turso_hooks.errors import DatabaseError as DatabaseError
    from turso_hooks.errors import SettingsError as SettingsError
    from turso_hooks.errors import TursoHooksError as TursoHooksError
    from turso_hooks.events import Event as Event
    from turso_hooks.events import FilePart as FilePart
    from turso_hooks.events import MessageAdded as MessageAdded
    from turso_hooks.events import ModelCallFinished as ModelCallFinished
    from turso_hooks.events import ModelCallStarted as ModelCallStarted
    from turso_hooks.events import NoteAdded as NoteAdded
    from turso_hooks.events import ReasoningPart as ReasoningPart
    from turso_hooks.events import SessionEnded as SessionEnded
    from turso_hooks.events import SessionStarted as SessionStarted
    from turso_hooks.events import TextPart as TextPart
    from turso_hooks.events import ToolCallFinished as ToolCallFinished
    from turso_hooks.events import ToolCallPart as ToolCallPart
    from turso_hooks.events import ToolCallStarted as ToolCallStarted
    from turso_hooks.events import ToolResultPart as ToolResultPart
    from turso_hooks.events import Usage as Usage
    from turso_hooks.events import replace_texts as replace_texts
    from turso_hooks.events import row_id as row_id
    from turso_hooks.hookspecs import hookimpl as hookimpl
    from turso_hooks.logger import ConversationLogger as ConversationLogger
    from turso_hooks.manager import PluginManager as PluginManager
    from turso_hooks.manager import build_plugin_manager as build_plugin_manager
    from turso_hooks.manager import get_plugin_manager as get_plugin_manager
    from turso_hooks.plugin import Recorder as Recorder
    from turso_hooks.plugin import close as close
    from turso_hooks.plugin import flush as flush
    from turso_hooks.settings import Settings as Settings
    from turso_hooks.settings import load_settings as load_settings
    from turso_hooks.shipping import FlushResult as FlushResult
    from turso_hooks.store import TursoConfig as TursoConfig
    from turso_hooks.store import close_turso_client as close_turso_client
    from turso_hooks.store import create_turso_client as create_turso_client
    from turso_hooks.store import get_turso_client as get_turso_client
    from turso_hooks.store import get_turso_config as get_turso_config
    from turso_hooks.store import initialize_schema as initialize_schema
    from turso_hooks.store import reset_schema_state as reset_schema_state

__version__ = "0.1.0"

_HOMES = {
    "errors": ("DatabaseError", "SettingsError", "TursoHooksError"),
    "events": (
        "Event",
        "FilePart",
        "MessageAdded",
        "ModelCallFinished",
        "ModelCallStarted",
        "NoteAdded",
        "ReasoningPart",
        "SessionEnded",
        "SessionStarted",
        "TextPart",
        "ToolCallFinished",
        "ToolCallPart",
        "ToolCallStarted",
        "ToolResultPart",
        "Usage",
        "replace_texts",
        "row_id",
    ),
    "hookspecs": ("hookimpl",),
    "logger": ("ConversationLogger",),
    "manager": ("PluginManager", "build_plugin_manager", "get_plugin_manager"),
    "plugin": ("Recorder", "close", "flush"),
    "settings": ("Settings", "load_settings"),
    "shipping": ("FlushResult",),
    "store": (
        "TursoConfig",
        "close_turso_client",
        "create_turso_client",
        "get_turso_client",
        "get_turso_config",
        "initialize_schema",
        "reset_schema_state",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605  # computed, so that no name can be missing; a test compares it with the imports above


def __getattr__(name: str) -> Any:
    """Load a public name from its home, once (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415  # as typing

    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """All public names, loaded or not."""
    return sorted({*globals(), *__all__})
