"""Several processes, servers that come and go: what they hold stays level, and every event is in its database once."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.proxy import Proxy
from serving.servers import LibsqlServer, Server, TursoServer
from soak.agent import STEPS_A_SESSION
from soak.crew import CLOSE_WITHIN_S, STEPS_A_SECOND, Crew, Run
from soak.incidents import INCIDENTS, KILLED, Incident, Place, schedule
from soak.levels import Sample, judge, of_journals, of_process, report, write
from turso_hooks.journal import JournalFolder

pytestmark = pytest.mark.slow

SAMPLE_EVERY_S = 1.0
LINES_AT_MOST = 12
"""In the log of one process, however long it runs: each kind of trouble is told once, and once that it is over."""

NUMBERS = {
    "messages": "position",
    "tool_executions": "CAST(output AS INTEGER)",
    "model_calls": "input_tokens",
    "notes": "CAST(payload AS INTEGER)",
}
"""Table to where its rows have the number of their step."""

EVENTS_A_STEP = {"threaded": 3, "asyncio": 3, "restarted": 3, "conversation": 6}
RUN = "substr(session_id, 1, instr(session_id, '/') - 1)"


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    made = Crew(tmp_path)
    yield made
    made.kill_all()


@pytest.fixture
def places(libsql_server: LibsqlServer, turso_server: TursoServer, proxy: Callable[[int], Proxy]) -> list[Place]:
    return [Place(server, proxy(server.port)) for server in (libsql_server, turso_server)]


def begun(crew: Crew, places: list[Place]) -> list[Run]:
    """One process that does not last, and three that do: with threads, over WebSockets, with tasks at the other server."""
    libsql_url, turso_url = (place.network.url for place in places)
    crew.start("restarted", 0, libsql_url, close_within_s=1)
    return [
        crew.start("threaded", 0, libsql_url),
        crew.start("conversation", 0, libsql_url.replace("http:", "ws:")),
        crew.start("asyncio", 1, turso_url),
    ]


def perform(plan: list[Incident], places: list[Place], crew: Crew, over: threading.Event) -> None:
    """Let everything happen that is planned, unless all is over before."""
    begin = time.monotonic()
    for incident in plan:
        if over.wait(max(begin + incident.at_s - time.monotonic(), 0)):
            return
        if incident.what in INCIDENTS:
            with INCIDENTS[incident.what](places[incident.place]):
                over.wait(incident.lasts_s)
        else:
            crew.restart(signal.SIGKILL if incident.what == KILLED else signal.SIGTERM)


def sampled(runs: list[Run], state_folder: Path, duration_s: float) -> list[Sample]:
    begin = time.monotonic()
    samples: list[Sample] = []
    while (at_s := time.monotonic() - begin) < duration_s:
        levels = {run.kind: of_process(run.process.pid) for run in runs}
        samples.append(Sample(at_s, {**levels, "journals": of_journals(state_folder)}))
        time.sleep(SAMPLE_EVERY_S)
    return samples


def lived_through(plan: list[Incident], places: list[Place], crew: Crew, take: Callable[[], list[Sample]]) -> list[Sample]:
    """Take samples while everything happens that is planned."""
    over = threading.Event()
    with ThreadPoolExecutor(1) as elsewhere:
        happening = elsewhere.submit(perform, plan, places, crew, over)
        try:
            samples = take()
        finally:
            over.set()
        happening.result()
    return samples


def wait_for_adoption(state_folder: Path, writers: int) -> None:
    """Wait until the journals hold nothing of processes that are gone."""
    deadline = time.monotonic() + CLOSE_WITHIN_S
    while len({file.writer_id for folder in JournalFolder.all_in(state_folder) for file in folder.files()}) > writers:
        assert time.monotonic() < deadline, "segments without a writer are left"
        time.sleep(0.1)  # other processes: there is no event to wait for


def allowed(run: Run) -> range:
    """How many steps may be in the database: those that were said to be done, and of a killed process one more."""
    return range(run.steps(), run.steps() + run.is_killed + 1)


def each_step_once(server: Server, runs: list[Run]) -> None:
    for table, number in NUMBERS.items():
        columns = f"{RUN}, count(*), count(DISTINCT {number}), min({number}), max({number})"
        is_over = "status = 'completed'" if table in {"tool_executions", "model_calls"} else "true"
        found = {run: rows for run, *rows in server.ask(f"SELECT {columns} FROM {table} WHERE {is_over} GROUP BY 1")}
        for run in runs:
            if table in {"messages", "tool_executions"} or run.kind == "conversation":
                rows = found.get(run.name, [0, 0, 0, -1])
                assert rows in [[n, n, 0, n - 1] for n in allowed(run)], (table, run.name, allowed(run))
    wrong = f"count(*) - sum(content LIKE {RUN} || ' ' || position || ' xxx%')"
    assert server.ask(f"SELECT {wrong}, count(*) - count(DISTINCT session_id || ' ' || sequence) FROM messages") == [(0, 0)]


def each_event_once(server: Server, runs: list[Run]) -> None:
    """Rows merge, so that an event that came twice would not show in them: it does in what was taken from the journal."""
    least = sum(events_of(run.kind, run.steps()) for run in runs)
    most = least + sum(EVENTS_A_STEP[run.kind] + 2 for run in runs if run.is_killed)
    ((records, missing),) = server.ask("SELECT sum(records), sum(next_number - records) FROM journal_writers")
    assert isinstance(records, int)
    assert (least <= records <= most, missing) == (True, 0)
    assert server.ask("SELECT (SELECT count(*) FROM dead_letters), (SELECT count(*) FROM journal_counts)") == [(0, 0)]


def events_of(kind: str, steps: int) -> int:
    """With the starts of sessions, and their ends."""
    return EVENTS_A_STEP[kind] * steps + -(-steps // STEPS_A_SESSION) + steps // STEPS_A_SESSION


def test_levels_stay_and_every_event_is_there_once_while_servers_come_and_go(
    crew: Crew,
    places: list[Place],
    tmp_path: Path,
    duration_s: float,
    seed: int,
    report_path: Path,
    say: Callable[[str], None],
) -> None:
    plan = schedule(len(places), duration_s, seed)
    title = f"{duration_s:g} s, seed {seed}, {len(plan)} incidents"
    say("\n".join([title, *map(str, plan)]))
    state_folder, lasting = tmp_path / "state", begun(crew, places)
    samples = lived_through(plan, places, crew, lambda: sampled(lasting, state_folder, duration_s))
    crew.end_short_lived(signal.SIGKILL)
    wait_for_adoption(state_folder, len(lasting))
    results = [run.end(signal.SIGTERM) for run in lasting]

    verdicts = judge(samples)
    lines = {run.name: run.log_lines() for run in crew.runs}
    steps, said = sum(run.steps() for run in crew.runs), sum(map(len, lines.values()))
    counted = f"{steps} steps of {len(crew.runs)} processes, {said} lines in their logs"
    told = report(f"{title}, {counted}", samples, verdicts)
    write(report_path, told, samples)
    say(told)
    assert [result for result in results if not result["is_complete"] or result["counts"]] == []
    assert [folder.files() for folder in JournalFolder.all_in(state_folder)] == [[], [], []]
    assert min(run.steps() for run in lasting) > STEPS_A_SECOND * duration_s / 2, "it was no load"
    for number, place in enumerate(places):
        runs = [run for run in crew.runs if run.place == number]
        each_step_once(place.server, runs)
        each_event_once(place.server, runs)
    assert {name: said for name, said in lines.items() if len(said) > LINES_AT_MOST} == {}
    assert [verdict for verdict in verdicts if not verdict.is_level] == []
    for place in places:  # nobody wants to look into these any more, and the long soak's take gigabytes
        place.server.kill()
        shutil.rmtree(place.server.folder)
