"""Who is compared: every peer, what to install for it (pinned here and nowhere else), how its events are counted afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]

OURS = "turso-hooks"

PLOTTING = ("matplotlib==3.10.9",)

TURSO_HOOKS_ROWS = """
    SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM tool_executions)
        + (SELECT count(nullif(agent_type, 'unknown')) + count(ended_at) FROM sessions)"""

EVENTS = "SELECT count(*) FROM events"


@dataclass(frozen=True)
class Peer:
    """A tool or a floor. Two peers may be one tool in two settings."""

    name: str
    tool: str
    """Its file in `tools`, and the class in it unless that is `Peer`."""

    requirements: tuple[str, ...] = ()
    counting: str | None = EVENTS
    """The SQL that counts the events in its database; None if it has none but a file of lines."""

    environment: dict[str, str] = field(default_factory=dict)
    is_floor: bool = False
    is_networked: bool = False
    """Whether its backend may be a server."""

    recover: tuple[str, ...] = ()
    """The module and arguments that bring in what a dead process left."""

    @property
    def distribution(self) -> str:
        """What the version of this peer is the version of."""
        return OURS if self.name == OURS else self.requirements[0].partition("==")[0]


OTEL = "1.45.2"
MLFLOW = ("mlflow==3.17.2",)
MLFLOW_SPANS = "SELECT count(*) FROM spans"
MLFLOW_ASYNC = "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"
MLFLOW_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true"}

PEERS = (
    Peer("os.write of a JSON line", "floors:JsonLine", counting=None, is_floor=True),
    Peer("executemany in 1,000s", "floors:ExecuteMany", is_floor=True),
    Peer("autocommit inserts, WAL, NORMAL", "floors:Autocommit", is_floor=True),
    Peer("autocommit inserts, WAL, FULL", "floors:Autocommit", is_floor=True, environment={"PEER_SYNCHRONOUS": "FULL"}),
    Peer(
        OURS,
        "turso_hooks_file",
        (str(CHECKOUT),),
        TURSO_HOOKS_ROWS,
        is_networked=True,
        recover=("turso_hooks.cli.main", "drain"),
    ),
    Peer(
        "OpenTelemetry batch processor",
        "otel_batch",
        (f"opentelemetry-sdk=={OTEL}", f"opentelemetry-exporter-otlp-proto-http=={OTEL}"),
        is_networked=True,
    ),
    Peer(
        "openai-agents SQLiteSession",
        "openai_agents",
        ("openai-agents==0.24.0",),
        "SELECT count(*) FROM agent_messages WHERE json_extract(message_data, '$.type') IS NOT 'function_call'",
        {"OPENAI_AGENTS_DISABLE_TRACING": "1"},
    ),
    Peer(
        "langgraph SqliteSaver",
        "langgraph_saver",
        ("langgraph-checkpoint-sqlite==3.1.2",),
        "SELECT count(*) FROM checkpoints",
        {"LANGSMITH_TRACING": "false"},
    ),
    Peer("mlflow, async", "mlflow_spans", MLFLOW, MLFLOW_SPANS, {MLFLOW_ASYNC: "true"} | MLFLOW_QUIET, is_networked=True),
    Peer("mlflow, sync", "mlflow_spans", MLFLOW, MLFLOW_SPANS, {MLFLOW_ASYNC: "false"} | MLFLOW_QUIET, is_networked=True),
    Peer("llm log_to_db (a turn)", "llm_turns", ("llm==0.36",), "SELECT count(*) FROM turns"),
    Peer("libsql-client", "libsql_client_direct", ("libsql-client==0.3.1",), is_networked=True),
)
