"""The real things of one run: a journal on a small disk of its own, a database, a network, agents and shippers."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from typing_extensions import Self

from chaos.schedule import ANSWERS, Agent, Incident, Schedule
from serving.proxy import Proxy
from serving.servers import Certificates, LibsqlServer, Nginx, TursoServer
from turso_hooks.drivers import parse_database_url
from turso_hooks.errors import EventError
from turso_hooks.events import decode
from turso_hooks.journal import JournalFolder, look_into, slices_of

AGENT = Path(__file__).with_name("agent.py")
DISK_BYTES = 64 * 1024 * 1024
ENDS_WITHIN_S = 30.0
STOPS_WITHIN_S = 0.5
"""Who does not stop by then waits for a child of its own that did, in vfork(2), and does nothing either."""

NEWER = b"written by a version that is not there yet"


class World:
    """Everything that one schedule needs, begun with `with` and gone afterwards, whatever became of it."""

    def __init__(self, schedule: Schedule, folder: Path, clock: Path, certificates: Certificates) -> None:
        self.schedule = schedule
        self._clock = clock
        self._certificates = certificates
        self.folder = folder
        self.state = folder / "disk"
        self.diaries = folder / "diaries"
        self.damaged: set[str] = set()
        """Names of events in what was damaged: they may be missing."""
        self.damages_counts = False
        """There were counts in what was damaged."""
        self.old_databases: list[Path] = []
        self.newer: list[Path] = []
        self.agents: dict[str, subprocess.Popen[bytes]] = {}
        self.shippers: list[subprocess.Popen[bytes]] = []
        self.killed: set[str] = set()
        self._stack = contextlib.ExitStack()
        self._restarting = threading.Lock()
        self._configuring = threading.Lock()
        self._healing: list[Callable[[], object]] = []
        self.server: TursoServer | LibsqlServer | None = None
        self.network: Proxy | None = None
        self.front: Nginx | None = None

    def __enter__(self) -> Self:
        try:
            self._prepare()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _prepare(self) -> None:
        self.diaries.mkdir(parents=True)
        self.state.mkdir()
        self._has_own_disk = mounts(self.state)
        if self._has_own_disk:
            self._stack.callback(subprocess.run, ["umount", "-l", str(self.state)], check=True)
        if self.schedule.target == "file":
            self._data.mkdir()
            self.url = f"file:{self._data}/agents.db"
        else:
            self._start_server()
        self.journal = JournalFolder(self.state / "state", parse_database_url(self.url).name)
        self._stack.callback(self._end_all)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def direct_url(self) -> str:
        """The database without the network before it."""
        return self.url if self.server is None else self.server.url

    @property
    def environment(self) -> dict[str, str]:
        """That of every agent and shipper."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TURSO_")}
        ours = {"TURSO_DATABASE_URL": self.url, "TURSO_HOOKS_STATE_FOLDER": str(self.state / "state")}
        trust = {"SSL_CERT_FILE": str(self._certificates.ca_file)}
        return {**inherited, **self.schedule.settings, **ours, **trust, "PYTHONWARNINGS": "ignore"}

    def _start_server(self) -> None:
        where = self.folder / "server"
        self.server = TursoServer(where / "served.db") if self.schedule.target == "tursodb" else LibsqlServer(where)
        self._stack.callback(self.server.kill)
        self.server.start()
        self.network = Proxy(self.server.port)
        self._stack.callback(self.network.close)
        self.url = self.network.url
        if self.schedule.has_front:
            self.front = Nginx(self.folder / "front", self.network.url, self._certificates)
            self._stack.callback(self.front.kill)
            self.front.start()
            self.url = self.front.url

    def start_agent(self, agent: Agent) -> None:
        orders = {**asdict(agent), "diary": str(self.diaries / agent.name)}
        environment = {**self.environment, "CHAOS_ORDERS": json.dumps(orders)}
        if agent.clock_back_after_ms is not None:
            back = {"CHAOS_CLOCK_BACK_S": "3600", "CHAOS_CLOCK_AFTER_MS": str(agent.clock_back_after_ms)}
            environment |= {"LD_PRELOAD": str(self._clock), **back}
        self.agents[agent.name] = self._start([sys.executable, str(AGENT)], agent.name, environment)

    def start_drain(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "turso_hooks.cli.main", "drain"]
        self.shippers.append(self._start(command, f"drain{len(self.shippers)}", self.environment))
        return self.shippers[-1]

    def _start(self, command: list[str], name: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            return subprocess.Popen(command, cwd=self.folder, env=environment, start_new_session=True, **streams)

    def run(self) -> None:
        """Let everything happen at its time."""
        began = time.monotonic()
        happenings: list[tuple[float, Callable[[], None]]] = [
            *((agent.starts_at_s, lambda agent=agent: self.start_agent(agent)) for agent in self.schedule.agents),  # type: ignore[misc]
            *((it.at_s, lambda it=it: self.befall(it)) for it in self.schedule.incidents),  # type: ignore[misc]
        ]
        for at_s, happen in sorted(happenings, key=lambda it: it[0]):
            time.sleep(max(began + at_s - time.monotonic(), 0))
            happen()
        self.heal()
        self._wait_for_ends()

    def heal(self) -> None:
        """Put everything right that an incident left wrong, and that had its time."""
        while self._healing:
            self._healing.pop()()
        if self.network is not None:
            self.network.black_hole, self.network.cut_every = False, 0
            self.network.truncate_after, self.network.delay_s = None, 0.0

    def _later(self, lasts_s: float, put_right: Callable[[], object]) -> None:
        """Put something right after a while, or when all is healed if that comes first."""
        once = threading.Lock()

        def put_right_once() -> None:
            if once.acquire(blocking=False):
                put_right()

        timer = threading.Timer(lasts_s, put_right_once)
        timer.start()
        self._healing.append(put_right_once)
        self._healing.append(timer.join)
        self._healing.append(timer.cancel)

    def _wait_for_ends(self) -> None:
        lingering = {agent.name for agent in self.schedule.agents if agent.ending == "linger"}
        deadline = time.monotonic() + ENDS_WITHIN_S
        for name, process in self.agents.items():
            if name in lingering:
                self._wait_lingers(name, process, deadline)
                self._kill_group(process)
            process.wait(max(deadline - time.monotonic(), 0.1))
            self._kill_group(process)  # children of one that was killed
        for process in self.shippers:
            process.wait(max(deadline - time.monotonic(), 0.1))

    def _wait_lingers(self, name: str, process: subprocess.Popen[bytes], deadline: float) -> None:
        diary = self.diaries / name
        while process.poll() is None and time.monotonic() < deadline:
            if diary.exists() and b" lingers\n" in diary.read_bytes():
                return
            time.sleep(0.01)  # another process's diary: there is no event to wait for

    @staticmethod
    def _kill_group(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def _end_all(self) -> None:
        self.heal()
        for process in [*self.agents.values(), *self.shippers]:
            self._kill_group(process)
            process.wait()

    def befall(self, incident: Incident) -> None:
        """One incident, by its name."""
        method = getattr(self, "_" + incident.what.replace(" ", "_").replace("-", "_"))
        method(incident)

    def _running(self, incident: Incident) -> tuple[str, subprocess.Popen[bytes]] | None:
        running = [(name, process) for name, process in self.agents.items() if process.poll() is None]
        return random.Random(incident.chance).choice(running) if running else None

    def _kill(self, incident: Incident) -> None:
        chosen = self._running(incident)
        if chosen is not None:
            name, process = chosen
            self.killed.add(name)
            if incident.chance < 0.5:
                process.kill()
            else:
                self._kill_group(process)

    def _pause(self, incident: Incident) -> None:
        chosen = self._running(incident)
        if chosen is not None:
            self._hold(chosen[1], incident.lasts_s)

    def _hold(self, process: subprocess.Popen[bytes], lasts_s: float) -> None:
        process.send_signal(signal.SIGSTOP)
        self._later(lasts_s, lambda: process.send_signal(signal.SIGCONT))

    def _drain(self, _: Incident) -> None:
        self.start_drain()

    def _two_drains(self, _: Incident) -> None:
        self.start_drain()
        self.start_drain()

    def _kill_a_drain(self, incident: Incident) -> None:
        self._later(0.1 + incident.lasts_s / 2, self.start_drain().kill)

    def _late_commit(self, incident: Incident) -> None:
        """A shipper dies while its request is on the way, another ships all, and then the request gets there."""
        assert self.network is not None
        self.network.delay_s = 0.15
        first = self.start_drain()
        time.sleep(0.2 + incident.lasts_s)  # somewhere in the middle of its requests
        first.kill()
        self.network.delay_s = 0.0
        self.start_drain()

    # The journal.

    def _files(self, incident: Incident, *, of_the_dead: bool) -> Iterator[tuple[Path, int]]:
        """A file with records, locked for as long as it is looked at if it is one of the dead, and where to damage it."""
        paths = sorted(self.journal.path.glob("*.v1.segment"))
        random.Random(incident.chance).shuffle(paths)
        for path in paths:
            with contextlib.suppress(OSError), path.open("rb") as file:  # or it was shipped in between
                if of_the_dead:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if not path.exists():
                        continue
                size = path.stat().st_size
                if not size:
                    continue
                yield path, int(incident.chance * size)
                return

    def _note_damage(self, damaged: Path, begin: int, end: int) -> None:
        """Whatever is between two offsets may be missing from now on."""
        for look in look_into(self.journal):
            if look.file.path == damaged:
                for found in slices_of(look.segment):
                    touched = (record for record in found.records if record.start < end and record.end > begin)
                    for record in touched:
                        try:
                            self.damaged.add(name_of(record.payload))
                        except EventError:
                            self.damages_counts = True

    def _flip_a_byte(self, incident: Incident) -> None:
        for path, at in self._files(incident, of_the_dead=True):
            self._note_damage(path, at, at + 1)
            with path.open("r+b") as file:
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ (1 << int(incident.chance * 8))]))

    def _cut_a_file(self, incident: Incident) -> None:
        for path, at in self._files(incident, of_the_dead=True):
            self._note_damage(path, at, sys.maxsize)
            os.truncate(path, at)

    def _cut_a_live_file(self, incident: Incident) -> None:
        running = [process for process in self.agents.values() if process.poll() is None]
        for process in running:
            os.killpg(process.pid, signal.SIGSTOP)
            until = time.monotonic() + STOPS_WITHIN_S
            while not _is_stopped(process.pid) and time.monotonic() < until:
                time.sleep(0.001)  # the signal gets there when it does
        for path, at in self._files(incident, of_the_dead=False):
            self._note_damage(path, at, sys.maxsize)
            os.truncate(path, at)
        for process in running:
            os.killpg(process.pid, signal.SIGCONT)

    def _a_newer_file(self, incident: Incident) -> None:
        path = self.journal.path / f"{int(incident.chance * 10**9):032x}.00000001.v2.segment"
        with contextlib.suppress(OSError):  # no journal yet, or no room, or no right
            path.write_bytes(NEWER)
            self.newer.append(path)

    def _no_room(self, incident: Incident) -> None:
        if not self._has_own_disk:  # nobody else's is filled
            return
        ballast = self.state / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while file.write(b"\0" * 4096):
                file.flush()
        self._later(incident.lasts_s, lambda: ballast.unlink(missing_ok=True))

    def _read_only_folder(self, incident: Incident) -> None:
        if self.journal.path.is_dir() and self._chattr("+i"):
            self._later(incident.lasts_s, lambda: self._chattr("-i"))

    def _chattr(self, how: str) -> bool:
        return freezes(self.journal.path, how)

    def _delete_the_folder(self, _: Incident) -> None:
        for look in look_into(self.journal):
            if not look.is_held:
                self._note_damage(look.file.path, 0, sys.maxsize)
        subprocess.run(["rm", "-rf", str(self.journal.path)], check=False, capture_output=True)

    # The database, if it is a file.

    def _lock(self, incident: Incident) -> None:
        if (self._data / "agents.db").exists():
            other = sqlite3.connect(self._data / "agents.db", isolation_level=None, timeout=0.2, check_same_thread=False)
            with contextlib.suppress(sqlite3.Error):
                other.execute("BEGIN EXCLUSIVE")
            self._later(30 if "30" in incident.what else incident.lasts_s, other.close)

    def _lock_for_30_s(self, incident: Incident) -> None:
        """Longer than a run: until then nothing else is put right either."""
        self._lock(incident)
        ends_at = time.monotonic() + 30
        self._healing.append(lambda: time.sleep(max(ends_at - time.monotonic(), 0)))

    def _replace_the_database(self, _: Incident) -> None:
        self._delete_the_database(_)
        with contextlib.closing(sqlite3.connect(self._data / "agents.db")) as other, contextlib.suppress(sqlite3.Error):
            other.execute("PRAGMA user_version = 7")  # unless a shipper was quicker, and is at it

    def _delete_the_database(self, _: Incident) -> None:
        """Its folder is moved as a whole: what is in it stays readable, and goes on being written to by who has it open.

        Not before there is a WAL: who opens it later, by its path, would have another database's, which SQLite warns of
        (https://www.sqlite.org/howtocorrupt.html, 4.2), and what is lost then nobody can know.
        """
        if not (self._data / "agents.db-wal").exists():
            return
        self.old_databases.append(self.folder / f"data{len(self.old_databases)}")
        self._data.rename(self.old_databases[-1])
        self._data.mkdir()

    # The server and the network.

    def _restart(self, incident: Incident) -> None:
        assert self.server is not None
        with self._restarting:
            self.server.kill()
        self._later(incident.lasts_s, self._start_again)

    def _start_again(self) -> None:
        assert self.server is not None
        with self._restarting:
            if self.server.process is None:  # else two incidents of the kind overlapped
                self.server.start()

    def _refuse(self, incident: Incident) -> None:
        assert self.network is not None
        self.network.refuse()
        self.network.cut_all()
        self._later(incident.lasts_s, self._listen)

    def _listen(self) -> None:
        assert self.network is not None
        with contextlib.suppress(AssertionError):  # it listens: two incidents of the kind overlapped
            self.network.listen()

    def _black_hole(self, _: Incident) -> None:
        assert self.network is not None
        self.network.black_hole = True

    def _cut(self, _: Incident) -> None:
        assert self.network is not None
        self.network.cut_every = 2

    def _truncate(self, incident: Incident) -> None:
        assert self.network is not None
        self.network.truncate_after = int(incident.chance * 400)

    def _delay(self, incident: Incident) -> None:
        assert self.network is not None
        self.network.delay_s = incident.lasts_s / 5

    def _answer(self, incident: Incident) -> None:
        assert self.front is not None
        status = random.Random(incident.chance).choice(ANSWERS)
        with self._configuring:
            self.front.configure(answer=status, retry_after=1 if status in {429, 503} else None)
        self._later(incident.lasts_s, self._answer_no_more)

    def _answer_no_more(self) -> None:
        assert self.front is not None
        with self._configuring:
            self.front.configure()


def mounts(folder: Path) -> bool:
    """Put a small disk there, one that can be full; whether that is possible here."""
    return _can("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder))


def freezes(folder: Path, how: str) -> bool:
    """Let nothing be made or deleted in a folder (`+i`), not even by root, or again (`-i`); whether that is possible here."""
    return _can("chattr", how, str(folder))


def _can(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def name_of(payload: bytes) -> str:
    """The name of the event that a record holds. Raises `EventError` for what is none."""
    event = decode(payload)
    return str(getattr(event, "content", None) or getattr(event, "tool_call_id", ""))


def _is_stopped(process_id: int) -> bool:
    """Whether a process and its children in the same session stand still, or are gone."""
    states = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, group = path.read_text().rpartition(")")[2].split()[:3]
            if int(group) == process_id:
                states.append(state)
    return all(state in "TtZX" for state in states)
