"""The messages of SQL over HTTP: what is sent to `/v2/pipeline`, and what the answer says. Pure: no sockets, no clock.

The protocol is Hrana over HTTP, version 2 (https://github.com/tursodatabase/libsql/blob/main/docs/HTTP_V2_SPEC.md), as Turso
Cloud, libsql-server and Turso's own server speak it: a request is a list of steps in one stream, an answer a list of results.
Integers travel as text, so 64 bits arrive; blobs as base64; text may hold NUL. Turso's server (0.6) reads a float of more than
15 digits to the nearest but one in a tenth of cases; libsql-server reads every one exactly.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from turso_hooks.drivers.bulk import ValueNotSendable, json_text
from turso_hooks.drivers.database import Rows

PATH = "/v2/pipeline"

_NAMES = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] | --[^\n]* | /\*.*?\*/ | \w[\w$]* | ([:@$]\w+)""",
    re.VERBOSE | re.DOTALL,
)
"""Named parameters of SQL (https://www.sqlite.org/lang_expr.html#varparam), and what may look like one: text, a comment."""

_INT64 = range(-(2**63), 2**63)
_TYPED = {int: "integer", float: "float", str: "text"}


Step = dict[str, Any]
Arguments = Sequence[Any] | dict[str, Any]


class AnswerUnreadable(Exception):
    """An answer is not of this protocol; the message says how it begins."""


class Refusal(Exception):
    """The server did not carry out a step: its words, and its code."""

    def __init__(self, problem: str, code: str) -> None:
        self.problem = problem
        self.code = code
        super().__init__(problem, code)


class Answer(msgspec.Struct):
    """What a pipeline came to: the result of each request, and where the stream goes on if it does."""

    results: list[dict[str, Any]]
    baton: str | None = None
    base_url: str | None = None

    def results_of(self, requests: int) -> list[dict[str, Any]]:
        """The results, if there is one of each request. Raises `AnswerUnreadable`."""
        if len(self.results) != requests:
            raise AnswerUnreadable("it has not as many results as were asked for")
        return self.results


_decode_answer = msgspec.json.Decoder(Answer).decode


def request_body(requests: Sequence[Step], baton: str | None = None) -> bytes:
    """The body of a request. Raises `ValueNotSendable` for text that is no Unicode."""
    return json_text({"baton": baton, "requests": requests})


def execute(sql: str, arguments: Arguments = ()) -> Step:
    """The request that runs one statement."""
    return {"type": "execute", "stmt": _statement(sql, arguments)}


def close() -> Step:
    """The request that ends the stream."""
    return {"type": "close"}


def transaction(statements: Iterable[tuple[str, Arguments]]) -> Step:
    """The request that runs statements in one transaction: each only if the one before succeeded, ROLLBACK if any did not."""
    steps: list[Step] = [{"stmt": _statement("BEGIN IMMEDIATE", ())}]
    for sql, arguments in (*statements, ("COMMIT", ())):
        steps.append({"condition": {"type": "ok", "step": len(steps) - 1}, "stmt": _statement(sql, arguments)})
    failed = {"type": "not", "cond": {"type": "ok", "step": len(steps) - 1}}
    # Where BEGIN itself fails there is nothing to roll back: on a server with one connection it would be another's.
    has_begun = {"type": "ok", "step": 0}
    steps.append({"condition": {"type": "and", "conds": [has_begun, failed]}, "stmt": _statement("ROLLBACK", ())})
    return {"type": "batch", "batch": {"steps": steps}}


def _statement(sql: str, arguments: Arguments) -> Step:
    if isinstance(arguments, dict):
        sql, arguments = _numbered(sql, arguments)
    return {"sql": sql, "args": [_value(value) for value in arguments]}


def _numbered(sql: str, arguments: dict[str, Any]) -> tuple[str, list[Any]]:
    """SQL with numbers for names, and the arguments in their order.

    Turso's server (0.6) binds NULL to parameters with names, and says nothing.
    """
    numbers: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        return f"?{numbers.setdefault(found[1], len(numbers) + 1)}" if found[1] else found[0]

    sql = _NAMES.sub(number, sql)
    try:
        return sql, [arguments[name[1:]] for name in numbers]
    except KeyError as error:
        raise ValueNotSendable(f"there is no argument for the parameter {error}") from None


def _value(value: Any) -> dict[str, Any]:
    if value is None:
        return {"type": "null"}
    kind = type(value)
    if kind not in _TYPED:
        return _value_of_subclass(value)
    if kind is int:
        if value not in _INT64:
            raise ValueNotSendable("an integer of more than 64 bits cannot be sent")
        return {"type": "integer", "value": str(value)}
    if kind is float and not math.isfinite(value):
        raise ValueNotSendable(f"the float {value} cannot be sent over HTTP")
    return {"type": _TYPED[kind], "value": value}


def _value_of_subclass(value: Any) -> dict[str, Any]:
    for kind in (int, float, str):  # bool among them, as SQLite has it
        if isinstance(value, kind):
            return _value(kind(value))
    try:
        return {"type": "blob", "base64": b64encode(memoryview(value)).decode()}
    except TypeError:
        raise ValueNotSendable(f"a value of the type {type(value).__name__} cannot be sent") from None


def knows_no_close(body: bytes) -> bool:
    """Whether a refusal says that the server, as Turso's own, has no streams to be closed. Then nothing was carried out."""
    return b"unknown variant `close`" in body


def read_answer(body: bytes) -> Answer:
    """The answer a body holds. Raises `AnswerUnreadable`."""
    try:
        return _decode_answer(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise AnswerUnreadable(f"it begins with {body[:40]!r}" if body else "it is empty") from None


def rows_of(result: dict[str, Any]) -> Rows:
    """The rows an `execute` gave. Raises `Refusal`, and `AnswerUnreadable`."""
    return _read_rows(_response(result))


def batch_rows_of(result: dict[str, Any]) -> list[Rows]:
    """The rows of each statement of a `transaction`. Raises `Refusal` with what stopped it, and `AnswerUnreadable`."""
    said = _response(result)
    try:
        found, errors = said["step_results"], said["step_errors"]
        refused = next((error for error in errors if error is not None), None)
        if refused is not None:
            raise Refusal(str(refused["message"]), str(refused.get("code") or ""))
        wanted = found[1:-2]  # all but BEGIN, COMMIT and ROLLBACK
        if len(found) < 3 or None in found[:-1] or found[-1] is not None:  # noqa: PLR2004  # those three
            raise AnswerUnreadable("it says neither that the transaction took effect nor that it did not")
    except (KeyError, TypeError, AttributeError):
        raise AnswerUnreadable("it has no results of a batch") from None
    return [_read_rows(entry) for entry in wanted]


def _response(result: dict[str, Any]) -> dict[str, Any]:
    try:
        if result["type"] == "error":
            error = result["error"]
            raise Refusal(str(error["message"]), str(error.get("code") or ""))
        response: dict[str, Any] = result["response"]["result"]
    except (KeyError, TypeError, AttributeError):
        raise AnswerUnreadable("it has no result where one must be") from None
    return response


def _read_rows(said: dict[str, Any]) -> Rows:
    try:
        columns = tuple(str(column["name"] or "") for column in said["cols"])
        rows = [tuple(_READERS[cell["type"]](cell) for cell in row) for row in said["rows"]]
        last = said.get("last_insert_rowid")
        return Rows(columns, rows, int(said.get("affected_row_count") or 0), None if last is None else int(last))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise AnswerUnreadable("its rows cannot be read") from None


def _blob(cell: dict[str, Any]) -> bytes:
    text: str = cell["base64"]
    return b64decode(text + "=" * (-len(text) % 4))  # servers leave the padding out


_READERS = {
    "null": lambda _: None,
    "integer": lambda cell: int(cell["value"]),
    "float": lambda cell: float(cell["value"]),
    "text": lambda cell: cell["value"],
    "blob": _blob,
}
