"""An OpenCode server, a real one, with a model that follows a script: https://opencode.ai/docs/server."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from typing_extensions import Self

from serving.servers import HERE, Missing, free_port

MODEL = "m"
PROVIDER = "scripted"
START_WITHIN_S = 60.0
PRICES = {"input": 1, "output": 2, "cache_read": 0.1, "cache_write": 1.25}
"""Dollars for a million tokens."""


class OpenCode:
    """A server in `folder`, with a home and a project of its own; it starts with `with`."""

    def __init__(self, folder: Path, model_url: str, *, password: str | None = None) -> None:
        self.folder = folder
        self.home, self.project = folder / "home", folder / "project"
        for made in (self.home, self.project):
            made.mkdir(parents=True)
        self.port = free_port()
        self.password = password
        self.package = "opencode-linux-x64"
        """That of the version to start; `opencode-older` is another."""
        self.process: subprocess.Popen[bytes] | None = None
        (self.project / "opencode.json").write_text(json.dumps(_configuration(model_url)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def file(self) -> Path:
        """Where it keeps everything."""
        return self.home / ".local" / "share" / "opencode" / "opencode.db"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGKILL)

    def start(self) -> None:
        binary = HERE / "node_modules" / self.package / "bin" / "opencode"
        if not binary.exists():
            raise Missing(f"{self.package} is not here: npm install --ignore-scripts --no-package-lock --prefix tests/serving")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            **({"OPENCODE_SERVER_PASSWORD": self.password} if self.password else {}),
        }
        with (self.folder / "opencode.log").open("ab") as log:
            command = [str(binary), "serve", "--port", str(self.port), "--hostname", "127.0.0.1"]
            self.process = subprocess.Popen(command, cwd=self.project, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + START_WITHIN_S
        while True:
            try:
                self._exchange("GET", "/global/health", timeout_s=2)  # what comes while it begins may never be answered
            except (OSError, http.client.HTTPException):
                assert self.process.poll() is None, (self.folder / "opencode.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)  # another process: there is no event to wait for
            else:
                return

    def end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def get(self, path: str) -> Any:
        return self._exchange("GET", path)

    def post(self, path: str, body: object) -> Any:
        return self._exchange("POST", path, body)

    def begin(self, directory: Path | None = None) -> str:
        """A new session; its id."""
        session_id: str = self.post("/session" + (f"?directory={directory}" if directory else ""), {})["id"]
        return session_id

    def say(self, session_id: str, text: str) -> None:
        """Say something and wait until the model is done."""
        self.post(f"/session/{session_id}/message", {"parts": [{"type": "text", "text": text}]})

    def say_unanswered(self, session_id: str, text: str) -> None:
        """Say something that the model is not asked about."""
        self.post(f"/session/{session_id}/message", {"noReply": True, "parts": [{"type": "text", "text": text}]})

    def say_at_once(self, session_id: str, text: str) -> None:
        """Say something and go on."""
        self.post(f"/session/{session_id}/prompt_async", {"parts": [{"type": "text", "text": text}]})

    def messages(self, session_id: str) -> Any:
        return self.get(f"/session/{session_id}/message")

    def all_sessions(self) -> list[str]:
        return [info["id"] for info in self.get("/experimental/session?limit=1000")]

    def _exchange(self, method: str, path: str, body: object = None, timeout_s: float = 60) -> Any:
        headers = {"Content-Type": "application/json"}
        if self.password:
            headers["Authorization"] = "Basic " + base64.b64encode(f"opencode:{self.password}".encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status < 400, (method, path, answer.status, said[:500])
            return json.loads(said) if said else None
        finally:
            connection.close()


def _configuration(model_url: str) -> dict[str, Any]:
    model = {"name": MODEL, "reasoning": True, "cost": PRICES, "limit": {"context": 100_000, "output": 4000}}
    options = {"baseURL": f"{model_url}/v1", "apiKey": "made-up"}
    return {
        "$schema": "https://opencode.ai/config.json",
        "model": f"{PROVIDER}/{MODEL}",
        "small_model": f"{PROVIDER}/{MODEL}",
        "provider": {PROVIDER: {"npm": "@ai-sdk/anthropic", "options": options, "models": {MODEL: model}}},
        "permission": {"bash": {"*": "allow", "rm *": "deny"}, "webfetch": "ask"},
    }
