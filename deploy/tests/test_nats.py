"""The servers' settings: each starts for real, and does what its comments say."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from support import DEPLOY, program, run

NATS = DEPLOY / "nats"
PASSWORDS = {f"CBS_{user}_PASSWORD": user.lower() for user in ("OPERATOR", "SHOP_BODY", "SHOP_DEPLOYER", "LAB_BODY")}
LIMIT = 20.0


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until(what: str, holds: Callable[[], object]) -> object:
    """Waits for something, at the most `LIMIT`."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        try:
            if seen := holds():
                return seen
        except OSError:
            pass
        time.sleep(0.05)  # sleep: between two looks
    raise AssertionError(f"not within {LIMIT:.0f} s: {what}")


def elsewhere(settings: str, folder: Path) -> Path:
    """The same settings with another store, which the command line cannot name where the file does."""
    shutil.copytree(NATS, folder / "nats")
    shutil.copytree(DEPLOY / "permissions", folder / "permissions")
    copy = folder / "nats" / settings
    text, times = re.subn(r'store_dir: "[^"]*"', f'store_dir: "{folder}/store"', copy.read_text())
    assert times == 1, settings
    copy.write_text(text)
    return copy


class Server:
    """A server that runs, on free ports of this machine."""

    def __init__(self, settings: str, folder: Path, *more: str, **environment: str) -> None:
        self.port, self.monitor = free_port(), free_port()
        self.log = folder / "log"
        command = [program("nats-server"), "-c", str(elsewhere(settings, folder)), "-a", "127.0.0.1"]
        command += ["-p", str(self.port), "-m", str(self.monitor), *more]
        with self.log.open("w") as log:
            surroundings = {**os.environ, **environment}
            self.process = subprocess.Popen(command, cwd=folder, env=surroundings, stdout=log, stderr=log)  # noqa: S603

    def ask(self, path: str) -> dict:
        assert self.process.poll() is None, self.log.read_text()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/{path}", timeout=2) as answer:
            return json.load(answer)

    def is_healthy(self) -> bool:
        return self.ask("healthz")["status"] == "ok"


@contextmanager
def running(*started: Server) -> Iterator[None]:
    try:
        for server in started:
            until("a healthy server", server.is_healthy)
        yield
    finally:
        for server in started:
            server.process.kill()
            server.process.wait()


class Client:
    """Enough of NATS' protocol to be let in, to ask, and to be refused."""

    def __init__(self, plain: socket.socket, user: str, authority: Path | None, password: str | None) -> None:
        self.info = json.loads(self._line(plain).removeprefix("INFO "))
        # The certificate is made for this test, and the name is its own.
        context = ssl.create_default_context(cafile=authority) if authority else None
        self.socket = context.wrap_socket(plain, server_hostname="localhost") if context else plain
        options = {
            "verbose": False,
            "pedantic": False,
            "headers": True,
            "no_responders": True,
            "user": user,
            "pass": password or user.replace("-", "_"),
        }
        self.say(f"CONNECT {json.dumps(options)}")

    @staticmethod
    def _line(stream: socket.socket) -> str:
        line = b""
        while not line.endswith(b"\r\n"):
            more = stream.recv(1)
            if not more:
                raise ConnectionError(line)
            line += more
        return line.decode().strip()

    def say(self, *lines: str) -> None:
        self.socket.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def hears(self) -> list[str]:
        """All lines until the answer to a PING, which comes in order."""
        self.say("PING")
        lines = []
        while (line := self._line(self.socket)) != "PONG":
            lines.append(line)
        return lines

    def request(self, subject: str, payload: str = "") -> str:
        self.say("SUB _INBOX.test 1", f"PUB {subject} _INBOX.test {len(payload)}", payload)
        while True:
            line = self._line(self.socket)
            if line.startswith(("MSG", "HMSG")):
                return self._line(self.socket)
            if line.startswith("-ERR"):
                return line


Connect = Callable[..., Client]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes clients; their connections end with the test."""
    with ExitStack() as ends:

        def one(server: Server, user: str = "", authority: Path | None = None, password: str | None = None) -> Client:
            plain = ends.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            client = Client(plain, user, authority, password)
            ends.enter_context(client.socket)
            return client

        yield one


def test_development_is_for_this_machine_alone(tmp_path: Path) -> None:
    text = (NATS / "development.conf").read_text()
    assert 'listen: "127.0.0.1:4222"' in text
    server = Server("development.conf", tmp_path)
    with running(server):
        said = server.ask("varz")
        assert said["jetstream"]["config"]["max_storage"] == 1 << 30
        assert not said["jetstream"]["config"].get("sync_always")


def test_durable_acknowledges_after_the_disk(tmp_path: Path, connect: Connect) -> None:
    server = Server("durable.conf", tmp_path)
    with running(server):
        said = server.ask("varz")
        assert said["jetstream"]["config"]["sync_always"] is True
        # Settings of every server in deploy/.
        assert said["ping_interval"] == 5_000_000_000
        assert said["write_deadline"] == 5_000_000_000
        assert said["max_payload"] == 1 << 20
        assert connect(server).hears() == []


def test_three_servers_make_a_cluster_that_keeps_three_copies(tmp_path: Path, connect: Connect) -> None:
    routes = re.findall(r'"nats://(nats-\d):6222"', (NATS / "cluster.conf").read_text())
    assert routes == ["nats-1", "nats-2", "nats-3"]
    ports = [free_port() for _ in routes]
    servers = []
    for name, port in zip(routes, ports, strict=True):
        folder = tmp_path / name
        folder.mkdir()
        # As in the file, but for names that only a container's network knows.
        others = ",".join(f"nats://127.0.0.1:{other}" for other in ports)
        servers.append(
            Server("cluster.conf", folder, "--name", name, "--cluster", f"nats://127.0.0.1:{port}", "--routes", others)
        )
    with running(*servers):
        until("three servers that know a leader", lambda: servers[0].ask("jsz").get("meta_cluster", {}).get("leader"))
        until("three members", lambda: servers[0].ask("jsz")["meta_cluster"]["cluster_size"] == len(routes))
        wanted = json.dumps({"name": "kept", "subjects": ["kept"], "num_replicas": 3})
        made = connect(servers[1]).request("$JS.API.STREAM.CREATE.kept", wanted)
        assert '"num_replicas":3' in made, made


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp("tenants")
    certificate, key = folder / "server.pem", folder / "server.key"
    run(
        program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out",
        certificate,
    )  # fmt: skip
    server = Server("tls-accounts.conf", folder, CBS_TLS_CERT=str(certificate), CBS_TLS_KEY=str(key), **PASSWORDS)
    with running(server):
        yield server, certificate


def test_nobody_comes_in_without_tls_or_with_a_wrong_password(tenants: tuple[Server, Path], connect: Connect) -> None:
    server, authority = tenants
    assert connect(server, "shop-body", authority).info["tls_required"] is True
    with pytest.raises((ConnectionError, OSError)):
        connect(server, "shop-body").hears()
    with pytest.raises(ConnectionError):
        connect(server, "shop-body", authority, "wrong").hears()


def test_accounts_do_not_hear_each_other(tenants: tuple[Server, Path], connect: Connect) -> None:
    server, authority = tenants
    ours = connect(server, "shop-body", authority)
    theirs = connect(server, "lab-body", authority)
    for client in (ours, theirs):
        client.say("SUB cbs.default.event.> 1")
        assert client.hears() == []
    ours.say("PUB cbs.default.event.order 5", "hello")
    assert ours.hears()[0].startswith("MSG cbs.default.event.order")
    assert theirs.hears() == []


def test_a_body_may_not_deploy_and_a_deployer_may_not_call(tenants: tuple[Server, Path], connect: Connect) -> None:
    server, authority = tenants
    body = connect(server, "shop-body", authority)
    body.say("PUB $KV.cbs_default_desired.head 1", "x")
    assert "Permissions Violation for Publish" in "".join(body.hears())
    deployer = connect(server, "shop-deployer", authority)
    deployer.say("PUB cbs.default.cell.logic.greet 2", "{}")
    assert "Permissions Violation for Publish" in "".join(deployer.hears())
