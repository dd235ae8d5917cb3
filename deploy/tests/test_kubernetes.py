"""Chart and manifests: rendered by Helm itself, and held to the schemas of Kubernetes, KEDA and the operator."""

from __future__ import annotations

import json
import re
import shutil

import kubernetes_validate
import pytest
import yaml

from support import DEPLOY, ROOT, TOOLS, document, run

CHART = DEPLOY / "helm/cbs"
BASE = DEPLOY / "kubernetes/base"
# The oldest that the chart takes, and the newest that is known here.
VERSIONS = ("1.28", "1.37")
SPECS = {"mode": "specs", "specs": {"files": {"greet.yaml": "kind: Cell\n"}}}
JETSTREAM = {"enabled": True, "stream": "orders", "consumer": "bill"}
ALL = {
    "nats": {
        "url": "tls://nats:4222",
        "userSecret": "nats-user",
        "credsSecret": "nats-creds",
        "tls": {"required": True, "secret": "nats-tls", "clientCertificate": True},
    },
    "body": {
        "labels": {"disk": "fast"},
        "zoneLabel": True,
        "env": [{"name": "A", "value": "b"}],
        "extraArgs": ["--route=nats"],
    },
    "keda": {"enabled": True, "jetstream": JETSTREAM},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "runbooks": "https://example.org/cbs/"},
    "networkPolicy": {
        "scrapePeers": [{"namespaceSelector": {}}],
        "natsPeers": [{"podSelector": {}}],
        "extraEgress": [{}],
    },
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "imagePullSecrets": [{"name": "pull"}],
    "priorityClassName": "high",
}
OPERATOR = "prometheus-operator/_schemas/ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1"
KINDS = {"defaults": {}, "specs": SPECS, "hpa": {"autoscaling": {"enabled": True}}, "all": ALL}


def helm():  # noqa: ANN201
    return pytest.importorskip("helm_python", reason="Helm as a library has no wheel for this machine")


def render(values: dict, name: str = "cbs") -> list[dict]:
    with helm().Chart.load(CHART) as chart:
        chart.validate_schema(values)
        files = chart.render(values, name=name, namespace="cbs")
    texts = [text for path, text in sorted(files.items()) if not path.endswith(".txt")]
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


def one(kind: str, documents: list[dict]) -> dict:
    (found,) = [found for found in documents if found["kind"] == kind]
    return found


def test_helm_finds_no_fault() -> None:
    report = helm().lint(CHART, strict=True)
    # An icon is recommended: there is none.
    assert [message for message in report["messages"] if message["severity"] > 1] == []
    assert report["errors"] == []


@pytest.mark.parametrize("values", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_what_is_rendered(values: dict, version: str) -> None:
    documents = [found for found in render(values) if not re.search(r"keda|coreos", found["apiVersion"])]
    assert len(documents) >= 4
    for found in documents:
        kubernetes_validate.validate(found, version, strict=True)


def test_keda_and_the_operator_take_what_is_rendered() -> None:
    models, node = TOOLS / "deploy-models/node_modules/@kubernetes-models", shutil.which("node")
    if node is None or not models.exists():
        pytest.skip("the schemas of KEDA and the operator are not there: they need node and npm")
    schemas = {
        "ScaledObject": "keda/_schemas/KedaShV1alpha1ScaledObject.js",
        "ServiceMonitor": f"{OPERATOR}ServiceMonitor.js",
        "PrometheusRule": f"{OPERATOR}PrometheusRule.js",
    }
    rendered = render(ALL)
    # A kind that is broken is refused: otherwise a schema that takes anything would look like this test.
    cases = [
        [schema, one(kind, rendered) | broken, not broken]
        for kind, schema in schemas.items()
        for broken in ({}, {"spec": 7})
    ]
    program = """
        const wrong = JSON.parse(process.argv[1]).filter(([schema, given, wanted]) => {
            const { validate } = require(schema);
            const valid = validate(given);
            if (valid !== wanted) console.error(given.kind, JSON.stringify(validate.errors));
            return valid !== wanted;
        });
        process.exit(wrong.length === 0 ? 0 : 1);
    """
    run(node, "-e", program, json.dumps([[str(models / schema), *case] for schema, *case in cases]))


CONTRADICTIONS = {
    "terminationGracePeriodSeconds is 60: write 95": {"body": {"drainSeconds": 60}},
    "two scalers": {"autoscaling": {"enabled": True}, "keda": {"enabled": True}},
    "without a trigger": {"keda": {"enabled": True, "prometheus": {"enabled": False}}},
    "needs a stream and a consumer": {"keda": {"enabled": True, "jetstream": {"enabled": True}}},
    "needs specs.files": {"mode": "specs"},
}


@pytest.mark.parametrize("says", CONTRADICTIONS)
def test_what_contradicts_itself_is_refused(says: str) -> None:
    with pytest.raises(helm().HelmRenderError, match=says):
        render(CONTRADICTIONS[says])


@pytest.mark.parametrize("values", [{"mod": "fleet"}, {"mode": "both"}, {"replicas": "2"}, {"nats": {"url": "nats"}}])
def test_values_that_are_none_are_refused(values: dict) -> None:
    with pytest.raises(helm().HelmValuesError):
        render(values)


def containers(documents: list[dict]) -> list[dict]:
    pod = one("Deployment", documents)["spec"]["template"]["spec"]
    return [*pod["initContainers"], *pod["containers"]]


@pytest.mark.parametrize("values", KINDS.values(), ids=KINDS)
def test_a_pod_may_do_little(values: dict) -> None:
    pod = one("Deployment", render(values))["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(render(values)):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("release", ["a", "my.release", "x" * 53])
def test_a_pods_name_is_a_bodys_id(release: str) -> None:
    name = one("Deployment", render({}, release))["metadata"]["name"]
    # A Deployment adds its hash and five letters.
    assert re.fullmatch(r"[a-z0-9_][a-z0-9_-]{0,62}", f"{name}-5d4f8c7b9d-x7k2p"), name


def test_modes_start_what_they_say() -> None:
    (_, fleet), (_, specs) = containers(render(ALL)), containers(render(SPECS))
    assert fleet["args"][0] == specs["args"][0] == "up"
    assert {"--label=disk=fast", "--label=node=$(NODE_NAME)", "--label=zone=$(NODE_ZONE)"} <= set(fleet["args"])
    assert specs["args"][-2:] == ["--watch", "/specs"]
    # A body with paths takes no labels.
    assert [word for word in specs["args"] if word.startswith("--label")] == []
    # A file that is mounted by itself is never renewed.
    assert [mount for mount in specs["volumeMounts"] if "subPath" in mount] == []


def test_the_alerts_of_the_chart_are_those_of_deploy() -> None:
    told = one("PrometheusRule", render({"prometheusRule": {"enabled": True}}))
    assert told["spec"] == document(DEPLOY / "prometheus/alerts.yml")
    elsewhere = one("PrometheusRule", render(ALL))["spec"]["groups"][0]["rules"][0]["annotations"]["runbook_url"]
    assert elsewhere.startswith("https://example.org/cbs/deploy/OPERATING.md#")


def test_versions_are_one() -> None:
    chart = document(CHART / "Chart.yaml")
    version = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert (chart["version"], chart["appVersion"]) == (version, version)
    (image,) = document(BASE / "kustomization.yaml")["images"]
    assert image["newTag"] == version


def bare(documents: list[dict]) -> dict[str, dict]:
    """Without what only Helm writes."""

    def strip(value: object) -> object:
        if isinstance(value, list):
            return [strip(each) for each in value]
        if isinstance(value, dict):
            own = ("helm.sh/chart", "app.kubernetes.io/version", "app.kubernetes.io/managed-by")
            return {key: strip(each) for key, each in value.items() if key not in own}
        return value.split(":")[0] if isinstance(value, str) and value.startswith("cbs:") else value

    return {found["kind"]: strip(found) for found in documents}


def test_the_base_is_what_the_chart_renders() -> None:
    files = document(BASE / "kustomization.yaml")["resources"]
    assert bare([document(BASE / file) for file in files]) == bare(render({}))


def test_kustomize_makes_of_the_specs_what_the_chart_does() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl on PATH, which has kustomize")
    made = bare(list(yaml.safe_load_all(run(kubectl, "kustomize", DEPLOY / "kubernetes/specs"))))
    spec = (DEPLOY / "kubernetes/specs/greet.yaml").read_text()
    wanted = bare(render({"mode": "specs", "specs": {"files": {"greet.yaml": spec}}}))
    # Kustomize labels what it generates in no way.
    made["ConfigMap"]["metadata"].pop("annotations", None)
    wanted["ConfigMap"]["metadata"].pop("labels")
    assert made == wanted
