"""The files that clusters are launched with: valid by the schemas of those who read them, and closed to strangers."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from referencing import Registry, Resource

from tests.support.launch_files import ROOT, Document, compose, documents

CLUSTER = ROOT / "cluster"
SCHEMAS = Path(__file__).parent / "schemas"
MANIFESTS = sorted((CLUSTER / "kubernetes").glob("*.yaml"))
LAUNCHERS = [CLUSTER / "aws.yaml", CLUSTER / "machines.yaml"]
SCRIPTS = [*sorted(CLUSTER.glob("*.sh")), ROOT / ".ci" / "run"]
KUBERAY = ("RayCluster", "RayJob")


def schema(name: str) -> Document:
    found: Document = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def problems_of_manifest(document: Document) -> list[str]:
    """What Kubernetes, or KubeRay, would refuse."""
    parts = {f"{name}.json": schema(name) for name in ("kubernetes", "kuberay")}
    registry: Registry[Document] = Registry().with_resources(
        [(name, Resource.from_contents(part)) for name, part in parts.items()]
    )
    kind = document["kind"]
    where = "kuberay.json" if kind in KUBERAY else "kubernetes.json"
    rules = [{"$ref": f"{where}#/$defs/{kind}"}, {"$ref": "kubernetes.json#/$defs/Named"}]
    validator = Draft202012Validator({"allOf": rules}, registry=registry)
    return [error.message for error in validator.iter_errors(document)]


def problems_of_launcher(document: Document) -> list[str]:
    """What `ray up` would refuse, by the schema of the installed Ray."""
    import ray.autoscaler

    path = Path(ray.autoscaler.__file__).parent / "ray-schema.json"
    return [error.message for error in Draft7Validator(json.loads(path.read_text(encoding="utf-8"))).iter_errors(document)]


def problems_of_compose(document: Document) -> list[str]:
    return [error.message for error in Draft7Validator(schema("compose")).iter_errors(document)]


MANIFEST_DOCUMENTS = [
    pytest.param(document, id=f"{path.stem}-{document['kind']}-{number}")
    for path in MANIFESTS
    for number, document in enumerate(documents(path))
]


@pytest.mark.parametrize("document", MANIFEST_DOCUMENTS)
def test_manifests_are_valid(document: Document) -> None:
    assert problems_of_manifest(document) == []


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda path: path.stem)
def test_launchers_are_valid(path: Path) -> None:
    (document,) = documents(path)
    assert problems_of_launcher(document) == []


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda path: path.stem)
def test_ray_prepares_the_launchers(path: Path) -> None:
    """Ray's own reading of them, with its defaults filled in."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    (document,) = documents(path)
    prepared = prepare_config(document)
    validate_config(prepared)
    head, workers = prepared["head_start_ray_commands"], prepared["worker_start_ray_commands"]
    assert [commands[0] for commands in (head, workers)] == ["ray stop", "ray stop"]
    assert "--dashboard-host=127.0.0.1" in head[-1]
    assert all(commands[-1].startswith("export RAY_AUTH_MODE=token;") for commands in (head, workers))


def test_the_compose_file_is_valid() -> None:
    assert problems_of_compose(compose()) == []


Change = Callable[[Document], None]


def containers(document: Document) -> Iterator[Document]:
    """All containers anywhere in a manifest."""
    for key, value in document.items():
        if key == "containers":
            yield from value
        elif isinstance(value, dict):
            yield from containers(value)
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, dict):
                    yield from containers(part)


def first_container(document: Document) -> Document:
    return next(containers(document))


MISTAKES: dict[str, Change] = {
    "no name": lambda document: document["metadata"].pop("name", document["metadata"].pop("generateName", None)),
    "no kind of its own": lambda document: document.update(apiVersion="ray.io/v1alpha1"),
    "an unknown field": lambda document: document.get("spec", document).update(replica=3),
}
POD_MISTAKES: dict[str, Change] = {
    "a container without a name": lambda document: first_container(document).pop("name"),
    "a field of a container that is not there": lambda document: first_container(document).update(volumeMount=[]),
    "an image that is a number": lambda document: first_container(document).update(image=3),
    "environment that is a mapping": lambda document: first_container(document).update(env={"A": "b"}),
    "a secret without a key": lambda document: first_container(document).update(
        env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "b"}}}]
    ),
    "a port without a number": lambda document: first_container(document).update(ports=[{"name": "http"}]),
}
RAY_MISTAKES: dict[str, Change] = {
    "parameters that are no texts": lambda spec: spec["headGroupSpec"].update(rayStartParams={"num-gpus": 0}),
    "no head": lambda spec: spec.pop("headGroupSpec"),
    "a group without a name": lambda spec: spec["workerGroupSpecs"][0].pop("groupName"),
    "replicas in words": lambda spec: spec["workerGroupSpecs"][0].update(replicas="four"),
    "an unknown mode": lambda spec: spec["authOptions"].update(mode="tokens"),
    "a misspelt option": lambda spec: spec["authOptions"].update(secret="a"),
}


def changed(document: Document, change: Change) -> Document:
    other = copy.deepcopy(document)
    change(other)
    assert other != document
    return other


@pytest.mark.parametrize("document", MANIFEST_DOCUMENTS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_manifest_is_refused(document: Document, mistake: str) -> None:
    assert problems_of_manifest(changed(document, MISTAKES[mistake]))


@pytest.mark.parametrize("document", [param for param in MANIFEST_DOCUMENTS if list(containers(param.values[0]))])
@pytest.mark.parametrize("mistake", POD_MISTAKES)
def test_a_wrong_pod_is_refused(document: Document, mistake: str) -> None:
    assert problems_of_manifest(changed(document, POD_MISTAKES[mistake]))


@pytest.mark.parametrize("mistake", RAY_MISTAKES)
def test_a_wrong_ray_cluster_is_refused(mistake: str) -> None:
    (cluster,), (job,) = (documents(CLUSTER / "kubernetes" / f"{name}.yaml") for name in ("raycluster", "rayjob"))
    assert problems_of_manifest(changed(cluster, lambda document: RAY_MISTAKES[mistake](document["spec"])))
    assert problems_of_manifest(changed(job, lambda document: RAY_MISTAKES[mistake](document["spec"]["rayClusterSpec"])))


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("cluster_name"),
        lambda document: document["provider"].pop("type"),
        lambda document: document.update(worker_start_commands=[]),
        lambda document: document.update(head_start_ray_commands="ray start --head"),
        lambda document: document["auth"].update(user="ubuntu"),
    ],
)
def test_a_wrong_launcher_is_refused(path: Path, change: Change) -> None:
    (document,) = documents(path)
    assert problems_of_launcher(changed(document, change))


@pytest.mark.parametrize(
    "change",
    [
        lambda services: services["mlflow"].update(port=["5000:5000"]),
        lambda services: services["mlflow"].update(ports="5000:5000"),
        lambda services: services["mlflow"]["depends_on"]["postgres"].update(condition="healthy"),
        lambda services: services["postgres"]["healthcheck"].update(every="5s"),
        lambda services: services["postgres"].update(image=16),
        lambda services: services["mlflow"]["build"].update(file="Dockerfile"),
    ],
)
def test_a_wrong_compose_file_is_refused(change: Change) -> None:
    assert problems_of_compose(changed(compose(), lambda document: change(document["services"])))


def test_the_schemas_name_their_source() -> None:
    for path in SCHEMAS.glob("*.json"):
        assert "github.com/" in json.loads(path.read_text(encoding="utf-8"))["$comment"]


def test_job_and_cluster_are_the_same_cluster() -> None:
    (cluster,), (job,) = (documents(CLUSTER / "kubernetes" / f"{name}.yaml") for name in ("raycluster", "rayjob"))
    assert job["spec"]["rayClusterSpec"] == cluster["spec"]


def test_the_manifests_are_of_the_tested_versions() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").split() if "==" in line)
    (cluster,) = documents(CLUSTER / "kubernetes" / "raycluster.yaml")
    assert cluster["spec"]["rayVersion"] == pins["ray"]


def test_names_that_manifests_use_are_there() -> None:
    """Volume claims, secrets and services that pods refer to."""
    everything = [document for path in MANIFESTS for document in documents(path)]
    text = "\n".join(path.read_text(encoding="utf-8") for path in MANIFESTS)
    claims = {document["metadata"]["name"] for document in everything if document["kind"] == "PersistentVolumeClaim"}
    assert set(re.findall(r"claimName: ([a-z-]+)", text)) == claims
    services = {document["metadata"]["name"] for document in everything if document["kind"] == "Service"}
    assert set(re.findall(r"(?:@|//)(smart-tuner-[a-z]+):\d+", text)) == services
    told = (CLUSTER / "README.md").read_text(encoding="utf-8")
    for secret in set(re.findall(r"secretKeyRef: {name: ([a-z-]+)", text)) | set(re.findall(r"secretName: ([a-z-]+)", text)):
        assert f"create secret generic {secret} " in told


def test_the_search_of_the_job_is_understood() -> None:
    from tuner.config import options

    (job,) = documents(CLUSTER / "kubernetes" / "rayjob.yaml")
    command = job["spec"]["entrypoint"].split()
    assert command[:3] == ["python", "-m", "tuner.search"]
    options.parser().parse_args(command[3:])


def test_ray_asks_for_a_token_everywhere() -> None:
    for path in (CLUSTER / "kubernetes" / "raycluster.yaml", CLUSTER / "kubernetes" / "rayjob.yaml"):
        (document,) = documents(path)
        spec = document["spec"].get("rayClusterSpec", document["spec"])
        assert spec["authOptions"] == {"mode": "token", "secretName": "smart-tuner-ray"}
    for path in (*LAUNCHERS, CLUSTER / "start.sh", CLUSTER / "slurm.sh"):
        assert "RAY_AUTH_MODE=token" in path.read_text(encoding="utf-8")
    for path in LAUNCHERS:
        (document,) = documents(path)
        assert document["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


LAUNCH_FILES = [*MANIFESTS, *LAUNCHERS, *CLUSTER.glob("*.sh"), CLUSTER / "Dockerfile", *(ROOT / "mlflow").iterdir()]


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_no_file_holds_a_secret(path: Path) -> None:
    """Nothing that is called a password, a token or a key has a value of its own; addresses have no passwords."""
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"://[^\s/@:]+:[^\s/@]+@", text) == []
    named = re.findall(r"(?im)^[ \t]*\w*(?:password|_token|secret_access_key)[ \t]*[=:][ \t]*([^\s#]\S*)", text)
    assert [value for value in named if not value.startswith(("$", "${", "~/.ray/auth_token", "{secretKeyRef"))] == []


@pytest.mark.parametrize("path", [*MANIFESTS, *LAUNCHERS], ids=lambda path: path.stem)
def test_nothing_listens_to_strangers(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"LoadBalancer|NodePort|hostNetwork|hostPort|dashboard-host=0\.0\.0\.0|enableIngress", text)
    for document in documents(path):
        if document.get("kind") == "Service":
            assert document["spec"]["type"] == "ClusterIP"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash(path: Path) -> None:
    subprocess.run(["bash", "-n", path], check=True)
    assert path.stat().st_mode & 0o100


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(path: Path) -> None:
    if which("shellcheck") is None:
        pytest.skip("shellcheck is not installed here (Debian's package shellcheck)")
    done = subprocess.run(["shellcheck", path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_options_of_ray_start_are_its_own() -> None:
    """Every option that a file gives `ray start` is one that the installed Ray has."""
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    text = "\n".join(path.read_text(encoding="utf-8") for path in (*LAUNCHERS, *CLUSTER.glob("*.sh")))
    used = re.findall(r"(?:ray start|raylet=)(.*)", text)
    options = {option for line in used for option in re.findall(r"--[a-z-]+", line)}
    assert {"--head", "--address", "--num-gpus"} <= options
    assert options - known == set()


def test_an_installed_user_has_the_files(tmp_path: Path) -> None:
    """`package_data` in setup.py names them all."""
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    (patterns,) = re.findall(r'"cluster": \[(.*?)\]', text)
    packaged = {path for pattern in re.findall(r'"(.*?)"', patterns) for path in CLUSTER.glob(pattern)}
    assert {path for path in CLUSTER.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")} == packaged


def test_the_stores_listen_on_the_loopback_address() -> None:
    for service in compose()["services"].values():
        assert service["ports"]
        assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for port in service["ports"])


def test_every_service_says_whether_it_is_well() -> None:
    services = compose()["services"]
    assert all(service["healthcheck"]["test"][0] == "CMD" for service in services.values())
    assert services["mlflow"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_every_variable_is_explained() -> None:
    text = (ROOT / "mlflow" / "docker-compose.yml").read_text(encoding="utf-8")
    used = dict(re.findall(r"\$\{([A-Z_0-9]+)(?::[-?]([^}]*))?\}", text))
    passed = {name for service in compose()["services"].values() for name, value in service["environment"].items() if not value}
    example = (ROOT / "mlflow" / ".env.example").read_text(encoding="utf-8")
    explained = dict(re.findall(r"^(?:# )?([A-Z_0-9]+)=(.*)$", example, re.MULTILINE))
    assert set(explained) == set(used) | passed
    assert {name: value for name, value in explained.items() if name in used and name != "POSTGRES_PASSWORD"} == {
        name: default for name, default in used.items() if name != "POSTGRES_PASSWORD"
    }


def test_credentials_come_from_the_environment() -> None:
    services = compose()["services"]
    required = "${POSTGRES_PASSWORD:?set it in .env}"
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD"] == required
    assert services["mlflow"]["environment"]["PGPASSWORD"] == required


def test_the_copy_with_the_secrets_is_never_committed() -> None:
    done = subprocess.run(["git", "check-ignore", "--quiet", "mlflow/.env"], cwd=ROOT)
    assert done.returncode == 0


@pytest.mark.slow
def test_mlflow_has_the_options() -> None:
    command = [sys.executable, "-m", "mlflow", "server", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    known = set(re.findall(r"--[a-z-]+", told))
    (mlflow,) = (list(containers(document)) for document in documents(CLUSTER / "kubernetes" / "stores.yaml")[-2:-1])
    for command in (compose()["services"]["mlflow"]["command"], mlflow[0]["args"]):
        assert command[:2] == ["mlflow", "server"]
        assert {argument.partition("=")[0] for argument in command[2:]} <= known
