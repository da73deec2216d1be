"""Our plugin manager: pluggy's, with the promise that no plugin disturbs the agent or the log.

What pluggy does (1.5 to 1.7, tried) and this changes: it calls the last registered plugin first, stops at the first that
raises and hands the exception to the caller; it lets a wrapper stand around everybody else; it stops loading entry points at
the first broken one. Here the recorder is always called first, whatever another plugin raises is counted, reported once and
swallowed, wrappers of event hooks are refused, and entry points are loaded one by one. Not swallowed are `SystemExit` and
`KeyboardInterrupt`: a signal handler of the agent's may raise them anywhere.
"""

from __future__ import annotations

import functools
import importlib.metadata
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pluggy

from turso_hooks import forking, hookspecs
from turso_hooks.errors import describe
from turso_hooks.events import EVENT_TYPES, Event, hook_name
from turso_hooks.hookspecs import PROJECT
from turso_hooks.plugin import Recorder
from turso_hooks.plugin import recorder as environment_recorder
from turso_hooks.shipping import warn_once

RECORDER_NAME = "turso"
"""The name under which the recorder is registered."""

_EVENT_HOOKS = frozenset(hook_name(kind) for kind in EVENT_TYPES)


class PluginManager(pluggy.PluginManager):
    """Calls the hooks of turso-hooks.

    Nothing is registered in a new one; `get_plugin_manager()` gives one with the recorder and all installed plugins.
    """

    def __init__(self) -> None:
        super().__init__(PROJECT)
        self.add_hookspecs(hookspecs)
        self._recorders: list[Recorder] = []
        self._redactors: list[tuple[str, Callable[..., object]]] = []
        self._emit = {kind: getattr(self.hook, hook_name(kind)) for kind in EVENT_TYPES}

    def emit(self, event: Event) -> None:
        """Call the hook that announces `event`. What is no event is counted and reported, not raised."""
        caller = self._emit.get(type(event))
        if caller is None:
            self._report("emit", f"{type(event).__name__} is no event of turso_hooks")
            return
        caller(event=event)

    def register(self, plugin: Any, name: str | None = None) -> str | None:
        """Register a plugin, guarded; see `pluggy.PluginManager.register`. A recorder gets this manager's redactors."""
        if isinstance(plugin, Recorder):
            plugin = plugin.sibling()
            registered = super().register(plugin, name or RECORDER_NAME)
            if registered is not None:
                self._recorders.append(plugin)
        else:
            registered = self._register_guarded(plugin, name)
        self._arrange()
        return registered

    def redact_for(self, recorder: Recorder) -> None:
        """Let this manager's redactors shape what `recorder` is given directly, past the hooks, as well."""
        self._recorders.append(recorder)
        self._arrange()

    def unregister(self, plugin: Any = None, name: str | None = None) -> Any:
        """Unregister a plugin; see `pluggy.PluginManager.unregister`."""
        if isinstance(plugin, Recorder):
            registered = (one for one in self._recorders if one.is_sibling(plugin) and self.is_registered(one))
            plugin = next(registered, plugin)
        gone = super().unregister(plugin, name)
        self._recorders = [one for one in self._recorders if one is not gone]
        self._arrange()
        return gone

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """Leave out what must not be.

        A wrapper of an event hook could keep the event from everybody else; and `tryfirst` is the recorder's alone, so that no
        one comes before it.
        """
        options = super().parse_hookimpl_opts(plugin, name)
        if options is None:
            return None
        hook = options.get("specname") or name
        if (options.get("wrapper") or options.get("hookwrapper")) and hook in {*_EVENT_HOOKS, "redact_event"}:
            self._report(str(plugin), f"its wrapper of {hook} is refused: use a plain implementation")
            return None
        if hook in _EVENT_HOOKS and not isinstance(plugin, Recorder):
            options["tryfirst"] = False
        return options

    def load_entry_points(self) -> int:
        """Load and register every installed plugin but the recorder; the number of those that could be."""
        loaded = 0
        for entry in importlib.metadata.entry_points(group=PROJECT):
            if not self.has_plugin(entry.name) and not self.is_blocked(entry.name) and entry.name != RECORDER_NAME:
                loaded += self._load(entry)
        return loaded

    def redact(self, event: Event) -> Event | None:
        """`event` as the redactors want it kept, each seeing the last one's answer; None if it is to be dropped."""
        kept: object = event
        for plugin_name, redactor in self._redactors:
            try:
                kept = redactor(kept)
            except Exception as error:  # noqa: BLE001  # another's code; keeping the event would leak what it should hide
                self._redactor_failed(plugin_name, f"it raised {type(error).__name__}")  # the text may quote what to hide
                return None
            if kept is None:
                self._count("dropped")
                return None
            if not isinstance(kept, Event):
                self._redactor_failed(plugin_name, f"it returned {type(kept).__name__} instead of an event")
                return None
        assert isinstance(kept, Event)
        return kept

    def _redactor_failed(self, plugin_name: str, problem: str) -> None:
        self._count("redactor_failed")
        warn_once(f"redactor:{plugin_name}", "the redactor of plugin %s failed, events are dropped: %s", plugin_name, problem)

    def _count(self, reason: str) -> None:
        for recorder in self._recorders[:1]:
            recorder.count(reason)

    def _report(self, plugin_name: str, problem: str) -> None:
        self._count("plugin_failed")
        warn_once(f"plugin:{plugin_name}", "plugin %s: %s", plugin_name, problem)

    def _load(self, entry: importlib.metadata.EntryPoint) -> bool:
        try:
            self.register(entry.load(), name=entry.name)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # importing another's plugin may raise anything, or exit
            self._report(entry.name, f"it could not be loaded: {describe(error)}")
            return False
        return True

    def _register_guarded(self, plugin: Any, name: str | None) -> str | None:
        try:
            registered = super().register(plugin, name)
        except Exception:
            if self.is_registered(plugin):  # pluggy before 1.7 leaves the hooks it came to before the bad one
                super().unregister(plugin)
            raise
        if registered is not None:
            self._guard(plugin, registered)
        return registered

    def _guard(self, plugin: object, name: str) -> None:
        """Put a guard around each of a plugin's implementations of event hooks."""
        for caller in self.get_hookcallers(plugin) or ():
            if caller.name in _EVENT_HOOKS:
                for implementation in caller.get_hookimpls():
                    if implementation.plugin is plugin:
                        guarded = self._guarded(implementation.function, name)
                        implementation.function = guarded  # type: ignore[misc]  # pluggy calls whatever stands here

    def _guarded(self, function: Callable[..., object], name: str) -> Callable[..., object]:
        @functools.wraps(function)
        def guarded(*arguments: object) -> None:
            try:
                function(*arguments)
            except Exception as error:  # noqa: BLE001  # another's code must not disturb the agent
                self._report(name, f"its hook raised {describe(error)}")

        return guarded

    def _arrange(self) -> None:
        """After any change: give the recorder the redactors there are now."""
        self._redactors = [
            (implementation.plugin_name, _with_event(implementation))
            for implementation in reversed(self.hook.redact_event.get_hookimpls())
        ]
        for recorder in self._recorders:
            recorder.redact = self.redact if self._redactors else None


def _with_event(implementation: pluggy.HookImpl) -> Callable[..., object]:
    """A redactor under one signature: pluggy lets an implementation leave out the argument."""
    function: Callable[..., object] = implementation.function
    return function if implementation.argnames else lambda event: function()  # noqa: ARG005  # it did not ask for it


class _Shared:
    """The plugin manager of the process, and whether all plugins are in it."""

    lock = threading.RLock()
    manager: PluginManager | None = None
    is_complete = False


def get_plugin_manager() -> PluginManager:
    """The plugin manager of this process, with the recorder and every installed plugin. Made when first asked for.

    A plugin that asks for it while it is being loaded gets the manager that it is loaded into.
    """
    if _Shared.manager is not None and _Shared.is_complete:
        return _Shared.manager
    with _Shared.lock:
        if _Shared.manager is None:
            _Shared.manager = PluginManager()
            _Shared.manager.register(environment_recorder)
            _Shared.manager.redact_for(environment_recorder)
            _Shared.manager.load_entry_points()
            _Shared.is_complete = True
        return _Shared.manager


def _after_fork_in_child() -> None:
    """The thread that was making the manager, if one was, is not here: make it anew."""
    _Shared.lock = threading.RLock()
    if not _Shared.is_complete:
        _Shared.manager = None


forking.in_child(_after_fork_in_child)


@contextmanager
def recording_into(recorder: Recorder | None) -> Iterator[None]:
    """Let the process's plugin manager record into `recorder` meanwhile, or nowhere, and not where the environment says."""
    manager = get_plugin_manager()
    manager.unregister(environment_recorder)
    if recorder is not None:
        manager.register(recorder)
    try:
        yield
    finally:
        if recorder is not None:
            manager.unregister(recorder)
        manager.register(environment_recorder)


def build_plugin_manager(recorder: Recorder | None) -> PluginManager:
    """A new plugin manager with every installed plugin, and with `recorder` instead of the environment's, or none."""
    manager = PluginManager()
    if recorder is not None:
        manager.register(recorder)
    manager.load_entry_points()
    return manager
