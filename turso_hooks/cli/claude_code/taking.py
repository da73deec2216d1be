"""`hook claude-code`, and taking what it kept: the work that `drain` does besides shipping."""

from __future__ import annotations

import os
import time

import click
from typing_extensions import Self

from turso_hooks.adapters.claude_code.capture import Capture
from turso_hooks.adapters.claude_code.following import Follower, Progress
from turso_hooks.adapters.claude_code.inbox import Inbox, hook, waiting_bytes
from turso_hooks.cli.claude_code.reading import progress_in
from turso_hooks.cli.importer import is_losing
from turso_hooks.manager import build_plugin_manager
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings

_LOOKS_S = 0.3
"""A hook that looks whether a drain runs has the lock for microseconds."""


@click.group("hook")
def hook_command() -> None:
    """What other programs run as their hook: reads what the hook is told, and keeps it for `drain`."""


@hook_command.command("claude-code")
def hook_claude_code_command() -> None:
    """Keep one event of Claude Code's, as JSON on standard input. Prints nothing and exits with 0, whatever happens.

    `install claude-code` puts this command into its settings.
    """
    hook()


class HookTaker:
    """Takes what hooks were told, for a drain; as a context, or nothing is let go. Raises `DatabaseError`.

    It costs nothing while there is nothing to take, or while another drain takes it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._inbox = Inbox(str(settings.state_folder), settings.database_url or "")
        self.lines = 0
        """How many were taken so far."""
        self._lock: int | None = None
        self._recorder: Recorder | None = None
        self._capture: Capture | None = None
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        """See whether it is free to be taken: from now on hooks see that a drain is at work, and start no other."""
        self._is_ours()
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of it."""
        if self._recorder is not None:
            self._recorder.close(self._settings.exit_timeout_s)
        if self._lock is not None:
            os.close(self._lock)

    def take(self) -> int:
        """Record what is new, and wait until it is in the database; how many lines that were."""
        if (self._capture is None and not self._waiting_bytes()) or not self._is_ours():
            return 0
        recorder, capture, progress = self._opened()
        lines = capture.poll()
        self.lines += lines
        if lines and not is_losing(recorder.flush(self._settings.request_timeout_s).counts):
            progress.save()
        return lines

    def is_left(self) -> bool:
        """Whether something came after the last `take`, from a hook that saw a drain at work."""
        return self._lock is not None and self._waiting_bytes() > 0

    def _is_ours(self) -> bool:
        """Whether no other drain takes it; a hook that only looks is waited for."""
        until = time.monotonic() + _LOOKS_S
        while self._lock is None and time.monotonic() < until:
            self._lock = self._inbox.lock()
            if self._lock is None:
                time.sleep(0.01)  # a lock gives no event to wait for
        return self._lock is not None

    def _waiting_bytes(self) -> int:
        return waiting_bytes(str(self._settings.state_folder), self._settings.database_url)

    def _opened(self) -> tuple[Recorder, Capture, Progress]:
        if self._recorder is None or self._capture is None or self._progress is None:
            self._recorder = Recorder(self._settings)
            emit = build_plugin_manager(self._recorder).emit
            self._progress = progress_in(self._settings)
            follower = Follower(emit, self._progress.files)
            self._capture = Capture(self._inbox, follower, emit, self._recorder.count)
        return self._recorder, self._capture, self._progress
