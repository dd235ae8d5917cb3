"""What the files of deploy/ and its pages ask of the program is what the program has, read from its source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support import DEPLOY, ROOT, document
from test_kubernetes import ALL, KINDS, containers, one, render

SOURCE = ROOT / "body/src"
OPERATING = DEPLOY / "OPERATING.md"
PAGES = {"OPERATING.md": OPERATING, "README.md": DEPLOY / "README.md"}
UNIT = (DEPLOY / "systemd/cbs.service").read_text()
CONTAINERFILE = (DEPLOY / "container/Containerfile").read_text()


def text(*files: str) -> str:
    paths = [SOURCE / file for file in files] or [path for path in SOURCE.rglob("*.rs") if "tests" not in path.name]
    return "\n".join(path.read_text() for path in paths)


def flags(source: str) -> set[str]:
    """`--drain-timeout` is the field `drain_timeout`, unless its attribute names another."""
    found = set()
    for words, field in re.findall(r"#\[arg\((.*?)\)\]\s*(?:pub(?:\([^)]*\))? )?(\w+):", source, re.DOTALL):
        if re.search(r"\blong\b", words):
            named = re.search(r'\blong = "([^"]+)"', words)
            found.add("--" + (named[1] if named else field.replace("_", "-")))
    return found


UP = flags(text("cli/up.rs", "cli/mod.rs", "nats.rs", "specs.rs", "http/address.rs", "telemetry/flags.rs"))
EVERY = flags(text()) | {"--help", "--version"}
COMMANDS = {
    re.sub(r"(?<!^)([A-Z])", r"-\1", name).lower()
    for name in re.findall(r"^    (\w+)\(", text("cli/mod.rs").split("enum Command {")[1].split("\n}")[0], re.MULTILINE)
}
# As the source has them: of a signal's own only the ends.
VARIABLES = set(re.findall(r'"((?:CBS|NATS|OTEL)_[A-Z_]+)"', text())) | {
    f"OTEL_EXPORTER_OTLP_{signal}{what}" for signal in ("", "TRACES_", "LOGS_") for what in ("ENDPOINT", "HEADERS")
}


def test_the_source_was_understood() -> None:
    assert {"--body", "--label", "--http", "--drain-timeout", "--watch", "--tls", "--namespace", "--otlp"} <= UP
    assert {"up", "log-level", "rollback", "bodies"} <= COMMANDS
    assert {"NATS_URL", "CBS_HTTP", "CBS_LOG", "CBS_NAMESPACE", "NATS_CREDS"} <= VARIABLES


def started() -> Iterator[tuple[str, list[str]]]:
    """Every command line with which a file starts a body."""
    for name, values in KINDS.items():
        yield f"chart, {name}", containers(render(values))[1]["args"]
    yield "base", containers([document(DEPLOY / "kubernetes/base/deployment.yaml")])[1]["args"]
    yield "specs", yaml.safe_load((DEPLOY / "kubernetes/specs/deployment.yaml").read_text())[0]["value"]
    for name, service in document(DEPLOY / "compose/compose.yaml")["services"].items():
        if name.startswith("body-"):
            yield name, service["command"]
    yield "unit", re.search(r"^ExecStart=/usr/local/bin/cbs (.*)$", UNIT, re.MULTILINE)[1].split()


def test_bodies_are_started_with_flags_that_exist() -> None:
    for where, (command, *words) in started():
        assert command == "up", where
        assert {word.split("=")[0] for word in words if word.startswith("-")} <= UP, where


def test_variables_that_are_set_are_read() -> None:
    own = re.compile(r"\b((?:CBS|NATS|OTEL)_[A-Z_]+)=")
    compose = document(DEPLOY / "compose/compose.yaml")["services"]["body-1"]["environment"]
    chart = {each["name"] for each in containers(render(ALL))[1]["env"]} - {"POD_NAME", "NODE_NAME", "NODE_ZONE", "A"}
    asked = {*compose, *chart, *own.findall(UNIT), *own.findall(CONTAINERFILE)}
    assert asked - VARIABLES == set()


def test_who_asks_over_http_asks_for_what_is_there() -> None:
    paths = set(re.findall(r'"(/[a-z]+)"', text("http/answer.rs")))
    body = containers(render({}))[1]
    probes = {kind: body[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness", "startup")}
    # A body that has lost NATS is started anew by nobody, and waited for by everybody.
    assert probes == {"liveness": "/healthz", "readiness": "/readyz", "startup": "/healthz"}
    scraped = one("ServiceMonitor", render(ALL))["spec"]["endpoints"][0]["path"]
    checked = re.search(r"http://127\.0\.0\.1:8080(/\w+)", CONTAINERFILE)[1]
    assert {*probes.values(), scraped, checked} <= paths
    port = {each["name"]: each["containerPort"] for each in body["ports"]}["http"]
    assert f"--http=0.0.0.0:{port}" in body["args"]


def code(page: Path) -> list[str]:
    """Spans of code, and lines of its blocks up to their remarks."""
    page_text = page.read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", page_text, re.MULTILINE | re.DOTALL)
    lines = [line.split(" # ")[0] for block in blocks for line in block.splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", page_text, flags=re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_commands_and_flags_that_exist(page: str) -> None:
    found = code(PAGES[page])
    told = [line.split() for line in found if re.match(r"cbs [a-z]", line)]
    assert len(told) > 10
    assert {words[1] for words in told} - COMMANDS == set()
    alone = [line.split() for line in found if re.match(r"--[a-z]", line)]
    named = {word.split("=")[0] for words in told + alone for word in words if word.startswith("--")}
    assert named - EVERY == set()


def test_pages_name_variables_that_are_read() -> None:
    named = set(re.findall(r"\b(?:CBS|NATS|OTEL)_[A-Z_]+\b", OPERATING.read_text()))
    assert len(named) > 10
    assert named - VARIABLES == set()
