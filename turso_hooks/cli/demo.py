"""`demo`: a small scripted agent, logged by the real plugin into a real database, and shown."""

from __future__ import annotations

import json
import shlex

import click

from turso_hooks.cli.options import json_option, prepared, print_json, shown_url
from turso_hooks.cli.reading.showing import print_conversation
from turso_hooks.cli.text import one_line
from turso_hooks.errors import DatabaseError
from turso_hooks.events import TextPart, ToolCallPart, Usage
from turso_hooks.logger import ConversationLogger
from turso_hooks.manager import build_plugin_manager
from turso_hooks.plugin import Recorder
from turso_hooks.query import connect_sync
from turso_hooks.settings import load_settings
from turso_hooks.shipping import REFUSED

_DEFAULT_URL = "file:turso-hooks-demo.db"
_FLUSH_TIMEOUT_S = 30.0


@click.command("demo")
@click.option("--db", "database_url", metavar="URL", default=_DEFAULT_URL, show_default=True, help="Where to keep it.")
@json_option
def demo_command(database_url: str, as_json: bool) -> None:
    """Run a small scripted agent and show what was kept of it.

    The agent plans a trip, has a tool that fails and a sub-agent. It knows only the hooks; the plugin writes the database.
    """
    settings = load_settings(database_url=database_url)
    shown = shown_url(settings)
    prepared(settings)
    recorder = Recorder(settings)
    session_id = run_agent(ConversationLogger(agent_type="planner", model="demo-1", manager=build_plugin_manager(recorder)))
    shipped = recorder.close(_FLUSH_TIMEOUT_S)
    if not shipped.is_complete:
        raise DatabaseError("keep the conversation", shown, shipped.problem or "it takes too long")
    if REFUSED & shipped.counts.keys():  # the log has said why
        raise click.exceptions.Exit(1)
    with connect_sync(database_url) as reader:
        conversation = reader.get_session(session_id)
    if as_json:
        print_json(conversation)
        return
    print_conversation(conversation, is_whole=False)
    click.echo(f"\nThis conversation went through the hooks into {one_line(shown)} and came back. What next:")
    named = f"--db {one_line(shlex.quote(shown))}"
    click.echo(f"  turso-hooks sessions {named}")
    click.echo(f"  turso-hooks show {session_id[:18]} {named}")


def run_agent(log: ConversationLogger) -> str:
    """Have the scripted conversation; returns its session id."""
    with log.session(title="A weekend in Lisbon", runner="turso-hooks demo") as session_id:
        log.log_message(session_id, "system", "You plan trips. Use the tools; ask the reviewer before you answer.")
        log.log_message(session_id, "user", "Two days in Lisbon in May, please. What will the weather be like?")
        _ask_for(log, session_id, "I will look at the forecast first.", "call-1", "get_forecast", {"city": "Lisbon"})
        _forecast_that_fails(log, session_id)
        _ask_for(log, session_id, "The forecast is not available. I will use the climate table.", "call-2", "get_climate",
                 {"city": "Lisbon", "month": 5})  # fmt: skip
        with log.tool_call(session_id, "get_climate", {"city": "Lisbon", "month": 5}, tool_call_id="call-2") as call:
            call.output = {"high_c": 22, "low_c": 14, "rainy_days": 6}
        log.log_message(session_id, "tool", json.dumps(call.output), tool_call_id="call-2", tool_name="get_climate")
        _ask_for(log, session_id, "I have a plan; the reviewer shall look at it.", "call-3", "ask_reviewer", {"days": 2})
        with log.tool_call(session_id, "ask_reviewer", {"days": 2}, tool_call_id="call-3") as call:
            call.output = _reviewer(log, session_id)
        log.log_message(session_id, "tool", call.output, tool_call_id="call-3", tool_name="ask_reviewer")
        with log.model_call(session_id) as answer:
            answer.usage, answer.finish_reason = Usage(input=640, output=58), "stop"
        log.log_message(
            session_id,
            "assistant",
            "Around 22 °C, six days of rain in the month: take a light jacket.\n"
            "Saturday: Alfama and the castle. Sunday: Belém by tram 15, early, before the queues.",
        )
    return session_id


def _ask_for(  # noqa: PLR0913, PLR0917  # what a model says and what it asks for
    log: ConversationLogger, session_id: str, said: str, tool_call_id: str, tool_name: str, tool_input: object
) -> None:
    with log.model_call(session_id) as call:
        call.usage, call.finish_reason = Usage(input=412, output=31), "tool_calls"
    asked = ToolCallPart(tool_call_id=tool_call_id, tool_name=tool_name, input=tool_input)
    log.log_message(session_id, "assistant", [TextPart(text=said), asked])


def _forecast_that_fails(log: ConversationLogger, session_id: str) -> None:
    try:
        with log.tool_call(session_id, "get_forecast", {"city": "Lisbon"}, tool_call_id="call-1"):
            _get_forecast()
    except TimeoutError as error:
        log.log_message(session_id, "tool", f"Error: {error}", tool_call_id="call-1", tool_name="get_forecast")


def _get_forecast() -> None:
    raise TimeoutError("the weather service did not answer within 2 s")


def _reviewer(log: ConversationLogger, parent_session_id: str) -> str:
    fields = {"parent_session_id": parent_session_id, "parent_tool_call_id": "call-3", "agent_type": "reviewer"}
    with log.session(title="Is the plan any good?", **fields) as session_id:
        log.log_message(session_id, "user", "Saturday: Alfama, castle. Sunday: Belém. Anything to change?")
        with log.model_call(session_id) as call:
            call.usage, call.finish_reason = Usage(input=120, output=22), "stop"
        answer = "Go to Belém early: the queues at the monastery are long by eleven."
        log.log_message(session_id, "assistant", answer)
    return answer
