"""Every test has a journal folder and an environment of its own; child processes are real ones."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from turso_hooks import plugin
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings
from turso_hooks.shipping.counts import forget_warnings

# A slow or busy machine is no fault of the code.
slow = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile("here", deadline=None, print_blob=True, suppress_health_check=slow)
hypothesis.settings.load_profile("here")

# A shell makes what it runs in the background ignore Ctrl-C, and whatever that starts: here it is what is tried.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["serving.fixtures"]  # real servers, and a network that fails on request

CHAOS_RUNS = {"short": 6, "long": 1000}
SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("turso-hooks", "how long the long tests are")
    group.addoption("--chaos", metavar="short|long|RUNS", default="short", help="how many runs: a few, or 1,000")
    group.addoption("--soak", metavar="short|long|SECONDS", default="short", help="how long the soak lasts: 2 minutes, or 30")
    group.addoption(
        "--soak-seed", type=int, metavar="SEED", help="the seed of what happens in the soak; else another each time"
    )
    group.addoption("--soak-report", type=Path, metavar="FILE", help="the soak's report, in Markdown; its samples beside it")
    group.addoption(
        "--growth", metavar="short|long|ROWS", default="short", help="how far a database grows: 200,000 rows, 5 million"
    )
    group.addoption("--chaos-seed", type=int, metavar="SEED", help="the seed of the first run; without it another each time")


@pytest.fixture
def chaos_seeds(pytestconfig: pytest.Config) -> list[int]:
    asked: str = pytestconfig.getoption("chaos")
    runs = CHAOS_RUNS.get(asked) or int(asked)
    first: int | None = pytestconfig.getoption("chaos_seed")
    if first is None:
        first = random.randrange(10**8)
    elif asked == "short":
        runs = 1
    return list(range(first, first + runs))


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints at once, whether output is captured or not."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", flush=True)

    return say


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith("TURSO_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TURSO_HOOKS_STATE_FOLDER", str(tmp_path / "state"))
    forget_warnings()
    yield
    plugin.close(5)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The path of a database that is not there yet."""
    return tmp_path / "agents.db"


@pytest.fixture
def settings(database: Path, tmp_path: Path) -> Settings:
    return Settings(database_url=f"file:{database}", state_folder=tmp_path / "state")


@pytest.fixture
def recorder(settings: Settings) -> Iterator[Recorder]:
    made = Recorder(settings)
    yield made
    made.close(5)


@pytest.fixture
def rows(database: Path) -> Callable[..., list[tuple[object, ...]]]:
    """Ask the database by plain SQLite."""

    def ask(sql: str, *arguments: object) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(database)
        try:
            return connection.execute(sql, arguments).fetchall()
        finally:
            connection.close()

    return ask


@pytest.fixture
def child(tmp_path: Path, database: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a Python process that logs into the test's database."""

    def start(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        script = tmp_path / f"child{len(list(tmp_path.glob('child*.py')))}.py"
        script.write_text(textwrap.dedent(code), encoding="utf-8")
        return subprocess.Popen(
            [sys.executable, str(script), *arguments],
            env={**os.environ, "TURSO_DATABASE_URL": f"file:{database}", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data is not here")  # real conversations that are not part of the project
    return SHARED_DATA
