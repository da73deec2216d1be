"""What another program emits, heard in it by a plugin that is found there, and read here.

    with Tap() as tap:
        subprocess.run(command, env=tap.environment(os.environ))
        events = tap.events()

The plugin is a module in a folder of its own, which the program finds by `PYTHONPATH`, and so do the programs that it starts.
It appends each event to a file, by one write, so any number of them may. No database is needed; where one is set, what is
logged there is logged.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from turso_hooks.errors import EventError
from turso_hooks.events import Event, decode, encode
from turso_hooks.hookspecs import PROJECT
from turso_hooks.testing.recording import RecordingPlugin

if TYPE_CHECKING:
    from typing_extensions import Self

_MODULE = "turso_hooks_tap"
_LENGTH_BYTES = 8


class TappingPlugin(RecordingPlugin):
    """Appends each event that it hears of to a file. What has no encoding is kept as what can be said of it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._lock = threading.Lock()

    def _keep(self, event: Event) -> None:
        is_event = isinstance(event, Event)  # pluggy hands on whatever it was given
        record = encode(event) if is_event else b""
        with self._lock:
            os.write(self._file, len(record).to_bytes(_LENGTH_BYTES, "big") + record)


class Tap:
    """A folder with such a plugin, and what it heard."""

    def __enter__(self) -> Self:
        """Make the folder."""
        self._folder = tempfile.TemporaryDirectory(prefix="turso-hooks-tap-")
        self._heard = Path(self._folder.name, "heard")
        self._heard.touch()
        installed = Path(self._folder.name, "plugin", f"{_MODULE}-1.dist-info")
        installed.mkdir(parents=True)
        (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {_MODULE}\nVersion: 1\n", encoding="utf-8")
        (installed / "entry_points.txt").write_text(f"[{PROJECT}]\n{_MODULE} = {_MODULE}:plugin\n", encoding="utf-8")
        code = f"from {TappingPlugin.__module__} import TappingPlugin\n\nplugin = TappingPlugin({str(self._heard)!r})\n"
        (installed.parent / f"{_MODULE}.py").write_text(code, encoding="utf-8")
        self._plugin = str(installed.parent)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Remove it."""
        self._folder.cleanup()

    def environment(self, before: Mapping[str, str]) -> dict[str, str]:
        """The environment in which a program finds the plugin."""
        path = before.get("PYTHONPATH")
        return {**before, "PYTHONPATH": f"{self._plugin}{os.pathsep}{path}" if path else self._plugin}

    def events(self) -> list[Event | None]:
        """What was emitted so far, in the order of the calls; None for what was no event.

        A program that was killed may have left half of its last one: that is not there.
        """
        data, begin, events = self._heard.read_bytes(), 0, list[Event | None]()
        while begin + _LENGTH_BYTES <= len(data):
            end = begin + _LENGTH_BYTES + int.from_bytes(data[begin : begin + _LENGTH_BYTES], "big")
            if end > len(data):
                break
            events.append(_decoded(data[begin + _LENGTH_BYTES : end]))
            begin = end
        return events


def _decoded(record: bytes) -> Event | None:
    try:
        return decode(record) if record else None
    except EventError:
        return None
