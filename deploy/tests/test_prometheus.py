"""Alerts and dashboard: they are valid, fire when they should, and name only what a body tells."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from support import DEPLOY, ROOT, document, program, run

ALERTS = DEPLOY / "prometheus/alerts.yml"
OPERATING = DEPLOY / "OPERATING.md"
METRIC = re.compile(r"\b(?:cbs|process)_[a-z_]+\b")
# What a histogram is told as, besides its name.
PARTS = re.compile(r"_(bucket|sum|count)$")
RULES = [rule for group in document(ALERTS)["groups"] for rule in group["rules"]]


def dashboard() -> dict:
    return json.loads((DEPLOY / "grafana/cbs.json").read_text())


def queries() -> list[str]:
    found = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]
    assert len(found) > 30
    return found


def documented() -> set[str]:
    """The first column of the table of metrics."""
    rows = re.findall(r"^\| `((?:cbs|process)_[a-z_]+)", OPERATING.read_text(), re.MULTILINE)
    assert len(rows) == len(set(rows)), "a metric stands in the table once"
    return set(rows)


def told() -> set[str]:
    """What a body writes into its page, read from the source: the names stand there as they are told."""
    sources = [source for source in (ROOT / "body/src").rglob("*.rs") if "tests" not in source.name]
    text = "".join(source.read_text().split("#[cfg(test)]")[0] for source in sources)
    return set(re.findall(r'"((?:cbs|process)_[a-z_]+)"', text))


def named(text: str) -> set[str]:
    return {PARTS.sub("", name) if "duration" in name else name for name in METRIC.findall(text)}


def test_the_alerts_are_rules() -> None:
    assert "SUCCESS" in run(program("promtool"), "check", "rules", ALERTS)


def test_every_alert_fires_and_stays_quiet_in_its_cases() -> None:
    cases = document(DEPLOY / "prometheus/alerts_test.yml")["tests"]
    names = {case["name"] for case in cases}
    missing = [f"{rule['alert']} {what}" for rule in RULES for what in ("fires", "stays quiet")]
    assert [name for name in missing if name not in names] == []
    for case in cases:
        (one,) = case["alert_rule_test"]
        assert bool(one["exp_alerts"]) == case["name"].endswith(" fires"), case["name"]
    run(program("promtool"), "test", "rules", DEPLOY / "prometheus/alerts_test.yml")


def test_the_configuration_is_valid() -> None:
    run(program("promtool"), "check", "config", DEPLOY / "prometheus/prometheus.yml")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule: dict) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert {"summary", "description", "runbook_url"} <= rule["annotations"].keys()
    page, anchor = rule["annotations"]["runbook_url"].split("#")
    assert ROOT / page == OPERATING
    # As Markdown's readers make anchors of headings.
    assert anchor in {heading.lower() for heading in re.findall(r"^#+ (\w+)$", OPERATING.read_text(), re.MULTILINE)}


def test_the_dashboard_asks_valid_questions(tmp_path) -> None:  # noqa: ANN001
    rules = []
    for number, query in enumerate(queries()):
        plain = query.replace("$__rate_interval", "5m").replace("$body", ".*").replace("$cell", ".*")
        assert "$" not in plain, query
        rules.append({"record": f"query:{number}", "expr": plain})
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run(program("promtool"), "check", "rules", file)


def test_panels_have_names_and_places_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["description"], panel["title"]


def test_alerts_and_dashboard_name_what_is_documented() -> None:
    asked = named(" ".join(queries())) | named(" ".join(str(rule["expr"]) for rule in RULES))
    chart = named((DEPLOY / "helm/cbs/values.yaml").read_text())
    assert (asked | chart) - documented() == set()


def test_every_metric_has_a_panel() -> None:
    assert documented() - named(" ".join(queries())) - {"process_start_time_seconds", "process_max_fds"} == set()


def test_what_is_documented_is_what_a_body_tells() -> None:
    assert documented() == told()
