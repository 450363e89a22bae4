"""Examples for servers and clusters: their flags and variables are those of the programs."""

import importlib
import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from mlflow.projects import _parse_kubernetes_config

from experiments.running.flags import parse
from tracking import server

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"
COMPOSE = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())
SLURM = EXAMPLES / "slurm.sh"
EXTRA = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_the_server_of_compose_understands_its_flags():
    python, _, module, *flags = COMPOSE["services"]["mlflow"]["command"]
    assert (python, module) == ("python", "tracking.server")
    given = server._parser().parse_args(flags)
    assert (given.host, given.port) == ("0.0.0.0", 5000)  # noqa: S104


def test_the_server_of_compose_is_told_everything_by_variables_it_reads():
    environment = COMPOSE["services"]["mlflow"]["environment"]
    assert {server.DATABASE, server.ARTIFACTS, server.PASSWORD, server.SIGNING_KEY} < set(
        environment
    )
    said = server._ABOUT
    for name in environment:
        assert name in said or name in {"PGPASSWORD", server.ALLOWED_HOSTS, "AWS_DEFAULT_REGION"}


def test_services_wait_for_services_that_are_there():
    services = COMPOSE["services"]
    assert set(services) == {"database", "s3", "bucket", "mlflow"}
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
        for volume in service.get("volumes", ()):
            assert volume.split(":")[0] in COMPOSE["volumes"]
    created = COMPOSE["configs"]["databases"]["content"]
    assert re.findall(r"CREATE DATABASE (\w+);", created) == ["studies", "results"]


def test_every_secret_comes_from_a_file_that_git_does_not_keep():
    text = (EXAMPLES / "compose.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+)", text))
    listed = dict(
        line.split("=", 1)
        for line in (EXAMPLES / "compose.env").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert asked == set(listed)
    assert not any(value for name, value in listed.items() if name != "ALLOWED_HOSTS")
    for service in COMPOSE["services"].values():
        for name, value in service["environment"].items():
            if re.search("PASSWORD|SECRET|KEY", name):
                assert value.startswith("${")
        assert "${" not in str(service.get("command"))
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_what_the_image_and_make_install_is_pinned_alike():
    image = COMPOSE["services"]["bucket"]["build"]["dockerfile_inline"]
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    installed = [word for word in shlex.split(image.replace("\\\n", "")) if "==" in word]
    assert set(EXTRA["server"]) < set(installed)
    for pin in set(installed) - set(EXTRA["server"]):
        assert re.sub(r"\[\w+\]", "", pin) in lock
    assert '"mlflow[auth]==3.17.2"' in (ROOT / "Makefile").read_text()
    assert "mlflow[auth]==3.17.2" in EXTRA["server"]


def test_the_slurm_script_is_one_that_bash_reads():
    subprocess.run(["bash", "-n", str(SLURM)], check=True)  # noqa: S607


@pytest.mark.parametrize("name", ["train", "tune", "preprocess"])
def test_entry_points_understand_the_flags_of_the_slurm_script(name):
    text = SLURM.read_text().replace("\\\n", " ")
    (line,) = re.findall(rf"-m experiments\.{name} (.*)", text)
    (example,) = re.findall(rf"#   sbatch .* docs/examples/slurm\.sh {name} [^-\n]*(.*)", text)
    *given, last = shlex.split(line)
    assert last.startswith("$")
    assert "@" in last
    module = importlib.import_module(f"experiments.{name}")
    flags = [*given, *shlex.split(example)]
    config = parse(getattr(module, f"{name.title()}Config"), flags, name=name)
    assert "$" in f"{config}"  # what the shell fills in
    assert re.search(rf"^{name}\)", text, re.MULTILINE)


def test_mlflow_reads_the_kubernetes_backend(monkeypatch):
    monkeypatch.chdir(ROOT)
    config = json.loads((EXAMPLES / "kubernetes_backend.json").read_text())
    template = _parse_kubernetes_config(config)["kube-job-template"]
    assert (template["apiVersion"], template["kind"]) == ("batch/v1", "Job")
    pod = template["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_mlflow_fills_in_the_kubernetes_job():
    kubernetes = pytest.importorskip("mlflow.projects.kubernetes", exc_type=ImportError)
    template = yaml.safe_load((EXAMPLES / "kubernetes_job.yaml").read_text())
    job = kubernetes._get_kubernetes_job_definition(
        "fundus-sex", "image", "sha256:0", ["python"], {"MLFLOW_RUN_ID": "1"}, template
    )
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "image@sha256:0"
    assert container["env"] == [{"name": "MLFLOW_RUN_ID", "value": "1"}]
    assert "replaced" not in json.dumps(job)
