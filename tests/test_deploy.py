"""What ``conf/deploy`` says fits together: names, ports, paths, secrets, users, times. No container runs here."""

import asyncio
import configparser
import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from aiogate import __version__
from aiogate.pipeline.discover import InstalledPlugins
from aiogate.settings.load import load_settings
from aiogate.settings.model import Settings
from aiogate.testing import fake_agent, running_gateway
from tests.configs import anonymous

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "conf" / "deploy"
TOML = (DEPLOY / "gateway.toml").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())
GATEWAY: dict[str, Any] = COMPOSE["services"]["gateway"]
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
KINDS = {"Deployment": 1, "Service": 2, "PodDisruptionBudget": 1, "ServiceMonitor": 1}
SPARE_SECONDS = 5


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in MANIFESTS if manifest["kind"] == kind]


POD: dict[str, Any] = of_kind("Deployment")[0]["spec"]["template"]
[CONTAINER] = POD["spec"]["containers"]


def told(instruction: str) -> list[str]:
    """Return what the last stage of the Dockerfile says after an instruction."""
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM") :].replace("\\\n", " ")
    return re.findall(rf"^{instruction} +(.*)$", last, re.MULTILINE)


@pytest.fixture
def settings() -> Settings:
    needed = set(re.findall(r"\$\{([A-Z_]+)\}", TOML))
    assert needed <= set(GATEWAY["environment"])
    assert needed <= {variable["name"] for variable in CONTAINER["env"]}
    return load_settings(DEPLOY / "gateway.toml", InstalledPlugins(), dict.fromkeys(needed, "5eed" * 16))


def test_ports_are_those_of_the_config(settings: Settings) -> None:
    clients, operators = settings.server.listen.port, settings.admin.listen.port
    assert {port["name"]: port["containerPort"] for port in CONTAINER["ports"]} == {
        "clients": clients,
        "operators": operators,
    }
    assert told("EXPOSE") == [f"{clients} {operators}"]
    assert [port.split(":")[-1] for port in GATEWAY["ports"]] == [str(clients)]
    assert {service["metadata"]["name"]: service["spec"]["ports"] for service in of_kind("Service")} == {
        "aiogate": [{"name": "clients", "port": 80, "targetPort": "clients"}],
        "aiogate-operators": [{"name": "operators", "port": operators, "targetPort": "operators"}],
    }


def test_who_is_stopped_gets_longer_than_a_drain_takes(settings: Settings) -> None:
    drain = settings.server.drain_delay_seconds + settings.server.grace_seconds + SPARE_SECONDS
    assert settings.server.drain_delay_seconds >= SPARE_SECONDS, "what a preStop would be there for"
    assert POD["spec"]["terminationGracePeriodSeconds"] >= drain
    assert int(GATEWAY["stop_grace_period"].removesuffix("s")) >= drain
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(DEPLOY / "aiogate.service")
    assert unit.getfloat("Service", "TimeoutStopSec") >= drain
    assert unit["Service"]["ExecStart"].split()[1] == json.loads(told("CMD")[-1])[0] == CONTAINER["args"][0] == "serve"


def test_kinds_select_what_there_is(settings: Settings) -> None:
    assert {kind: len(of_kind(kind)) for kind in KINDS} == KINDS
    assert len(MANIFESTS) == sum(KINDS.values())
    labels = POD["metadata"]["labels"].items()
    assert of_kind("Deployment")[0]["spec"]["selector"]["matchLabels"].items() <= labels
    assert of_kind("PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"].items() <= labels
    for service in of_kind("Service"):
        assert service["spec"]["selector"].items() <= labels
    [monitor] = of_kind("ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = [one for one in of_kind("Service") if wanted <= one["metadata"]["labels"].items()]
    assert [one["metadata"]["name"] for one in found] == ["aiogate-operators"]
    assert CONTAINER["image"] == f"aiogate:{__version__}"
    [generated] = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())["configMapGenerator"]
    volumes = {volume["name"]: volume for volume in POD["spec"]["volumes"]}
    assert generated == {"name": volumes["config"]["configMap"]["name"], "files": ["gateway.toml"]}
    mounted = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert set(mounted) == set(volumes)
    assert f"{mounted['config']}/gateway.toml" == CONTAINER["args"][1] == json.loads(told("CMD")[-1])[1]
    assert settings.journal.dir.is_relative_to(mounted["journal"])
    assert [volume.split(":")[1] for volume in GATEWAY["volumes"]] == [mounted["journal"]] == told("VOLUME")


def test_secrets_are_those_that_the_comment_makes() -> None:
    made = set(re.findall(r"--from-literal=([a-z-]+)=", (DEPLOY / "kubernetes.yaml").read_text()))
    asked = {variable["valueFrom"]["secretKeyRef"]["key"] for variable in CONTAINER["env"]}
    [endpoint] = of_kind("ServiceMonitor")[0]["spec"]["endpoints"]
    assert asked == made
    assert endpoint["authorization"]["credentials"]["key"] in made


def test_nobody_is_root() -> None:
    [user] = told("USER")
    of_pod = POD["spec"]["securityContext"]
    assert user == f"{of_pod['runAsUser']}:{of_pod['runAsGroup']}" != "0:0"
    assert of_pod["runAsNonRoot"]
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    assert GATEWAY["read_only"]


def test_the_image_is_made_of_what_there_is() -> None:
    package = configparser.ConfigParser()
    package.read(ROOT / "setup.cfg")
    extras = {extra for found in re.findall(r'"\.\[([a-z,]+)\]"', DOCKERFILE) for extra in found.split(",")}
    assert extras
    assert extras <= set(package["options.extras_require"])
    version = re.findall(r"^FROM python:(3\.\d+)-slim", DOCKERFILE, re.MULTILINE)
    assert {f"Programming Language :: Python :: {one}" for one in version} <= set(
        package["metadata"]["classifiers"].splitlines()
    )
    let_in = (DEPLOY / "Dockerfile.dockerignore").read_text()
    copied = [shlex.split(line)[:-1] for line in re.findall(r"^COPY ((?!--).*)$", DOCKERFILE, re.MULTILINE)]
    for source in (name for line in copied for name in line):
        assert (ROOT / source).exists()
        assert f"!{source}\n" in let_in
    compose = (DEPLOY / GATEWAY["build"]["context"]).resolve()
    assert (compose, compose / GATEWAY["build"]["dockerfile"]) == (ROOT.resolve(), DEPLOY.resolve() / "Dockerfile")


async def test_probes_ask_what_is_answered(tmp_path: Path) -> None:
    """And the health check of the image, which tells a gateway from none."""
    paths = {CONTAINER[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    paths |= {endpoint["path"] for endpoint in of_kind("ServiceMonitor")[0]["spec"]["endpoints"]}
    [check] = told("HEALTHCHECK")
    program, *arguments = json.loads(check[check.index("[") :])
    assert program == "python"

    async def healthy(url: str) -> bool:
        environ = {**os.environ, "AIOGATE_LIVEZ": url, "NO_PROXY": "127.0.0.1"}
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, env=environ, stderr=quiet)
        return await process.wait() == 0

    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with aiohttp.ClientSession() as client:
            for path in paths:
                async with client.get(f"{gateway.admin_url}{path}") as response:
                    assert response.status == 200, path
        assert await healthy(f"{gateway.admin_url}/livez")
    assert not await healthy(f"{gateway.admin_url}/livez")
