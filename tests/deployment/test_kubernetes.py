"""The Kubernetes files build, are valid, and agree with the code, the image and the compose file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel

from config.environment import PREFIX
from config.settings import SECRET_FIELDS, Settings
from tests.deployment.conftest import ROOT
from worker import __version__
from worker.cli.main import COMMANDS, cli
from worker.domain.lane import Lane

FILES = ROOT / "ops/kubernetes"
BUILDS = ("base", "overlays/keda", "overlays/hpa", "overlays/prometheus-operator")
PORT = 9464
Objects = list[dict[str, Any]]
Models = dict[str, type[BaseModel]]


@pytest.fixture(scope="module")
def models() -> Models:
    """Models of objects that Kubernetes' own schemas do not know, by kind."""
    # here, so that only the process that runs these tests spends 2 s of CPU on their 5,000 classes
    from cloudcoil.models.keda.v1alpha1 import ScaledObject  # noqa: PLC0415
    from cloudcoil.models.prometheus_operator.v1 import PodMonitor, PrometheusRule, ServiceMonitor  # noqa: PLC0415

    return {model.__name__: model for model in (ScaledObject, PodMonitor, PrometheusRule, ServiceMonitor)}


def kustomize(folder: str) -> Objects:
    """Build a folder as `kubectl apply --kustomize` does."""
    kubectl = Path(sys.executable).with_name("kubectl")
    built = subprocess.run([kubectl, "kustomize", FILES / folder], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return list(yaml.safe_load_all(built.stdout))


@pytest.fixture(scope="module")
def builds() -> dict[str, Objects]:
    """The objects of every build."""
    return {folder: kustomize(folder) for folder in BUILDS}


@pytest.fixture(scope="module")
def base(builds: dict[str, Objects]) -> Objects:
    """The objects of the base."""
    return builds["base"]


def of_kind(objects: Objects, kind: str) -> dict[str, dict[str, Any]]:
    """Return the objects of a kind by name."""
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def pod(deployment: dict[str, Any]) -> dict[str, Any]:
    """Return the pod of a deployment."""
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return found


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    """Return the only container of a deployment's pods."""
    (found,) = pod(deployment)["containers"]
    assert isinstance(found, dict)
    return found


def labels(deployment: dict[str, Any]) -> dict[str, str]:
    """Return the labels of a deployment's pods."""
    found: dict[str, str] = deployment["spec"]["template"]["metadata"]["labels"]
    return found


@pytest.mark.parametrize("folder", BUILDS)
def test_every_object_is_valid(builds: dict[str, Objects], models: Models, folder: str) -> None:
    """Every object of a build has only fields of its schema, with values of the right type."""
    for each in builds[folder]:
        if each["kind"] in models:
            model = models[each["kind"]]
            model.model_validate(each)
            assert list(unknown_fields(each, model)) == []
        else:
            kubernetes_validate.validate(each, "1.37", strict=True)


def unknown_fields(value: Any, model: Any, path: str = "") -> Iterator[str]:
    """Yield the fields that a model does not have: such models ignore them."""
    if isinstance(value, list):
        for item in value:
            yield from unknown_fields(item, model, path)
    model = next((each for each in alternatives(model) if issubclass(each, BaseModel)), None)
    if not isinstance(value, dict) or model is None:
        return
    fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    for name, each in value.items():
        if name not in fields:
            yield f"{path}.{name}"
        else:
            yield from unknown_fields(each, fields[name], f"{path}.{name}")


def alternatives(annotation: Any) -> Iterator[type]:
    """Yield the classes inside of an annotation such as `list[Model] | None`."""
    if isinstance(annotation, type) and not hasattr(annotation, "__origin__"):
        yield annotation
    for each in getattr(annotation, "__args__", ()):
        yield from alternatives(each)


def test_a_misspelt_field_is_found(builds: dict[str, Objects], models: Models) -> None:
    """A misspelt field of a ScaledObject and of a PodMonitor is found, however deep it is."""
    scaled = of_kind(builds["overlays/keda"], "ScaledObject")["photogpt-worker"]
    advanced = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    advanced["stabilisationWindowSeconds"] = 1
    unknown = [path.rpartition(".")[2] for path in unknown_fields(scaled, models["ScaledObject"])]
    assert unknown == ["stabilisationWindowSeconds"]
    del advanced["stabilisationWindowSeconds"]
    monitor = {"kind": "PodMonitor", "spec": {"podMetricsEndpoints": [{"prot": "http"}]}}
    assert list(unknown_fields(monitor, models["PodMonitor"])) == [".spec.podMetricsEndpoints.prot"]


def test_the_documented_kustomization(tmp_path: Path) -> None:
    """The kustomization of the documents builds: several components, an image and a setting of the user's own."""
    page = (ROOT / "ops/docs/kubernetes.md").read_text()
    text = page.partition("```yaml\n")[2].partition("```")[0]
    here = os.path.relpath(ROOT, tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(text.replace("photogpt-worker/ops", f"{here}/ops"))
    objects = kustomize(str(tmp_path))
    assert {"ScaledObject", "PodMonitor", "PrometheusRule"} <= {each["kind"] for each in objects}
    (settings,) = of_kind(objects, "ConfigMap").values()
    assert settings["data"]["PHOTOGPT_MAX_ACTIVE"] == "50"
    assert settings["data"]["PHOTOGPT_HTTP_ADDRESS"] == f"0.0.0.0:{PORT}"
    worker = of_kind(objects, "Deployment")["photogpt-worker"]
    assert container(worker)["image"] == "registry.example.com/photogpt-worker:0.1.0"
    assert container(worker)["envFrom"][0]["configMapRef"]["name"] == settings["metadata"]["name"]


def test_settings_exist(builds: dict[str, Objects]) -> None:
    """Every variable in the files is a setting of the code."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    text = yaml.safe_dump_all([each for objects in builds.values() for each in objects])
    assert set(re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", text)) <= known


def test_settings_are_accepted(base: Objects) -> None:
    """The settings of the ConfigMap are values that the code accepts."""
    (settings,) = of_kind(base, "ConfigMap").values()
    fields = {name.removeprefix(PREFIX).lower(): value for name, value in settings["data"].items()}
    assert Settings(**fields).http_address == f"0.0.0.0:{PORT}"


def test_secrets_come_from_the_secret(base: Objects) -> None:
    """No secret is in the files; pods read each one from the Secret."""
    secrets = {f"{PREFIX}{name.upper()}" for name in SECRET_FIELDS}
    (settings,) = of_kind(base, "ConfigMap").values()
    assert secrets.isdisjoint(settings["data"])
    for deployment in of_kind(base, "Deployment").values():
        for variable in container(deployment).get("env", []):
            assert variable["valueFrom"]["secretKeyRef"]["name"] == "photogpt"
            assert variable["valueFrom"]["secretKeyRef"]["key"] == variable["name"]


def test_only_workers_get_the_key(base: Objects) -> None:
    """Only workers get the API key and the webhook secrets."""
    given = {
        name: {variable["name"] for variable in container(deployment)["env"]}
        for name, deployment in of_kind(base, "Deployment").items()
    }
    own = {"PHOTOGPT_API_KEY", "PHOTOGPT_WEBHOOK_SECRETS"}
    assert [name for name, names in given.items() if own & names] == ["photogpt-worker"]
    assert own <= given["photogpt-worker"]


def test_commands_exist(base: Objects) -> None:
    """The command of every container exists and accepts its options."""
    for deployment in of_kind(base, "Deployment").values():
        command, *argv = container(deployment)["args"]
        assert command in COMMANDS
        known = cli.get_command(click.Context(cli), command)
        assert known is not None
        known.make_context(command, list(argv))


def test_rights(base: Objects, compose: dict[str, Any]) -> None:
    """Every pod runs as the image's user on a read-only file system, without capabilities and without a token."""
    user, group = map(int, compose["services"]["worker"]["user"].split(":"))
    for deployment in of_kind(base, "Deployment").values():
        spec, security = pod(deployment), container(deployment)["securityContext"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": group,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert security == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert [mount["mountPath"] for mount in container(deployment)["volumeMounts"]] == ["/tmp"]  # noqa: S108


def test_the_namespace_demands_these_rights(base: Objects) -> None:
    """The namespace refuses pods with more rights."""
    namespace = of_kind(base, "Namespace")["photogpt"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_ports(base: Objects, compose: dict[str, Any]) -> None:
    """Containers, probes and Services use the ports on which the processes listen."""
    deployments = of_kind(base, "Deployment")
    for name in ("photogpt-worker", "photogpt-exporter"):
        assert container(deployments[name])["ports"] == [{"name": "http", "containerPort": PORT}]
    flower = Settings.model_fields["flower_port"].default
    assert container(deployments["photogpt-flower"])["ports"] == [{"name": "flower", "containerPort": flower}]
    for name, service in of_kind(base, "Service").items():
        (port,) = service["spec"]["ports"]
        (exposed,) = container(deployments[name])["ports"]
        assert (port["targetPort"], port["port"]) == (exposed["name"], exposed["containerPort"])
    for probe in ("startupProbe", "livenessProbe"):
        command = container(deployments["photogpt-flower"])[probe]["exec"]["command"]
        assert command == compose["services"]["flower"]["healthcheck"]["test"][1:]


def test_probes_of_workers(base: Objects) -> None:
    """A worker has the three probes, and liveness waits longer than a worker may be busy."""
    worker = container(of_kind(base, "Deployment")["photogpt-worker"])
    paths = {name: worker[name]["httpGet"]["path"] for name in worker if name.endswith("Probe")}
    assert paths == {"startupProbe": "/startup", "livenessProbe": "/live", "readinessProbe": "/ready"}
    assert {worker[name]["httpGet"]["port"] for name in paths} == {"http"}
    live = worker["livenessProbe"]
    assert live["periodSeconds"] * live["failureThreshold"] >= 60


def test_the_grace_period_of_workers(base: Objects) -> None:
    """A worker has time after SIGTERM for its slowest call to PhotoGPT and to a receiver."""
    max_call_s = max(Settings.model_fields[name].default for name in ("api_call_deadline_s", "webhook_deadline_s"))
    assert pod(of_kind(base, "Deployment")["photogpt-worker"])["terminationGracePeriodSeconds"] >= 2 * max_call_s


def test_selectors(builds: dict[str, Objects]) -> None:
    """Every selector of a build selects the pods of a deployment, and of the deployment of its name if there is one."""
    for objects in builds.values():
        deployments = of_kind(objects, "Deployment")
        for each in objects:
            if each["kind"] == "NetworkPolicy" or each["kind"] in {"Namespace", "ServiceAccount"}:
                continue
            spec = each.get("spec", {})
            selector = spec.get("selector", {})
            wanted = selector.get("matchLabels", selector)
            if wanted:
                assert wanted.items() <= labels(deployments[each["metadata"]["name"]]).items()
            if "scaleTargetRef" in spec:
                assert spec["scaleTargetRef"]["name"] in deployments


def test_network_policies(base: Objects) -> None:
    """Every pod is covered by the policy that forbids all else, and the open ports are those of the pods."""
    deployments, policies = of_kind(base, "Deployment"), of_kind(base, "NetworkPolicy")
    names = {labels(each)["app.kubernetes.io/name"] for each in deployments.values()}
    default = policies["photogpt-default"]["spec"]
    assert set(default["podSelector"]["matchExpressions"][0]["values"]) == names
    assert default.keys() == {"podSelector", "policyTypes"}
    for policy in policies.values():
        for rule in policy["spec"].get("ingress", []):
            for name in selected(policy):
                exposed = {port["name"] for port in container(deployments[name])["ports"]}
                assert {port["port"] for port in rule["ports"]} <= exposed


def selected(policy: dict[str, Any]) -> list[str]:
    """Return the names of the pods that a network policy selects."""
    selector = policy["spec"]["podSelector"]
    if "matchLabels" in selector:
        return [selector["matchLabels"]["app.kubernetes.io/name"]]
    names: list[str] = selector["matchExpressions"][0]["values"]
    return names


def test_a_drain_is_never_blocked(base: Objects) -> None:
    """The disruption budget lets one worker stop, however few there are."""
    assert of_kind(base, "PodDisruptionBudget")["photogpt-worker"]["spec"]["maxUnavailable"] == 1


def test_autoscalers_keep_one_worker(builds: dict[str, Objects]) -> None:
    """Both autoscalers keep at least one worker, and the deployment leaves its number to them."""
    keda, hpa = builds["overlays/keda"], builds["overlays/hpa"]
    assert of_kind(keda, "ScaledObject")["photogpt-worker"]["spec"]["minReplicaCount"] == 1
    assert of_kind(hpa, "HorizontalPodAutoscaler")["photogpt-worker"]["spec"]["minReplicas"] == 1
    for objects in (keda, hpa):
        assert "replicas" not in of_kind(objects, "Deployment")["photogpt-worker"]["spec"]


def test_keda_reads_the_exporter(builds: dict[str, Objects]) -> None:
    """KEDA reads the workable items of every lane, and what is not accepted yet, from the exporter's Service."""
    objects = builds["overlays/keda"]
    triggers = of_kind(objects, "ScaledObject")["photogpt-worker"]["spec"]["triggers"]
    service = of_kind(objects, "Service")["photogpt-exporter"]
    address = f"http://photogpt-exporter.{service['metadata']['namespace']}.svc:{PORT}/metrics"
    assert {trigger["metadata"]["url"] for trigger in triggers} == {address}
    assert {trigger["metadata"]["format"] for trigger in triggers} == {"prometheus"}
    locations = {trigger["metadata"]["valueLocation"] for trigger in triggers}
    lanes = set(Lane) - {Lane.LIST_POLLS}
    workable = {f'photogpt_lane_workable{{lane="{lane}"}}' for lane in lanes}
    assert locations == workable | {'photogpt_broker_messages{queue="enqueued"}', "photogpt_inbox_entries"}


def test_the_adapter_names_the_metric(builds: dict[str, Objects]) -> None:
    """The rule for prometheus-adapter yields the metric that the autoscaler names."""
    adapter = yaml.safe_load((FILES / "components/hpa/prometheus-adapter.yaml").read_text())
    (rule,) = adapter["rules"]["external"]
    (metric,) = of_kind(builds["overlays/hpa"], "HorizontalPodAutoscaler")["photogpt-worker"]["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == rule["name"]["as"]


def test_monitors_scrape_the_metrics(builds: dict[str, Objects]) -> None:
    """Both monitors scrape /metrics at the port that the pods name, under the job names of the alerts."""
    objects = builds["overlays/prometheus-operator"]
    for name, kind, field in (
        ("photogpt-worker", "PodMonitor", "podMetricsEndpoints"),
        ("photogpt-exporter", "ServiceMonitor", "endpoints"),
    ):
        spec = of_kind(objects, kind)[name]["spec"]
        assert spec["jobLabel"] == "app.kubernetes.io/name"
        assert labels(of_kind(objects, "Deployment")[name])[spec["jobLabel"]] == name
        (endpoint,) = spec[field]
        assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")


def test_the_image(base: Objects) -> None:
    """Every container runs the image of this version."""
    images = {container(each)["image"] for each in of_kind(base, "Deployment").values()}
    assert images == {f"photogpt-worker:{__version__}"}
