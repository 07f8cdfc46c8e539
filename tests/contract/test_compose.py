"""compose.yaml, the Dockerfile and deploy/: what they name exists, and nothing is open to the net."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest
import typer
import yaml

from cs3g.cli import app
from pipeline.config import ENVIRONMENT_PREFIX, PipelineConfig, load_config
from tests.contract.repository import PACKAGES, ROOT, read_pyproject
from topics.specs import SPECS, is_replay_name

COMPOSE: dict[str, Any] = yaml.safe_load(
    re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (ROOT / "compose.yaml").read_text())
)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
IMAGE = f"cs3g:{read_pyproject()['project']['version']}"
OURS = [name for name, service in SERVICES.items() if service["image"] == IMAGE]
WORKERS = [name for name in OURS if SERVICES[name]["restart"] != "no"]


@pytest.mark.parametrize("name", OURS)
def test_commands_and_options_exist(name: str) -> None:
    command, arguments = typer.main.get_command(app), _arguments(name)
    with command.make_context("cs3g", list(arguments), resilient_parsing=True) as context:
        while isinstance(command, typer.core.TyperGroup):
            word = arguments.pop(0)
            found = command.get_command(context, word)
            assert found is not None, f"no command {word!r}"
            command = found
        options = {flag for parameter in command.params for flag in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("--")} <= options
        command.make_context(name, arguments, parent=context)


@pytest.mark.parametrize("name", OURS)
def test_variables_are_settings_that_load(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for field in PipelineConfig.model_fields:
        monkeypatch.delenv(ENVIRONMENT_PREFIX + field.upper(), raising=False)
    settings = {
        key.removeprefix(ENVIRONMENT_PREFIX).lower(): str(value)
        for key, value in SERVICES[name]["environment"].items()
        if key.startswith(ENVIRONMENT_PREFIX)
    }
    assert settings.keys() <= PipelineConfig.model_fields.keys()
    for field, value in settings.items():
        monkeypatch.setenv(ENVIRONMENT_PREFIX + field.upper(), value)
    config = load_config()
    assert f"INSIDE://{config.bootstrap_servers}" in _kafka("ADVERTISED_LISTENERS")


def test_services_agree_on_what_determines_results(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = set()
    for name in OURS:
        with monkeypatch.context() as environment:
            for key, value in SERVICES[name]["environment"].items():
                environment.setenv(key, str(value))
            hashes.add(load_config().config_hash())
    assert len(hashes) == 1


def test_replay_writes_to_topics_of_its_own() -> None:
    replaying = [name for name in OURS if SERVICES[name].get("profiles") == ["replay"]]
    assert replaying
    for name in replaying:
        assert is_replay_name(SERVICES[name]["environment"]["CS3G_TOPIC_PREFIX"]), name


@pytest.mark.parametrize("name", WORKERS)
def test_workers_may_be_scaled(name: str) -> None:
    service = SERVICES[name]
    assert not {"container_name", "ports", "hostname"} & service.keys()
    # Static membership: two members of one name would fence each other off.
    arguments = _arguments(name)
    assert arguments[arguments.index("--id") + 1] == "$HOSTNAME"


def test_every_part_of_the_retraining_loop_runs() -> None:
    commands = {name: _arguments(name) for name in WORKERS if "profiles" not in SERVICES[name]}
    roles = {
        arguments[arguments.index("--role") + 1] if "--role" in arguments else "student"
        for arguments in commands.values()
        if arguments[0] == "worker"
    }
    assert roles == {"student", "teacher", "outcomes"}
    (jobs,) = [name for name, arguments in commands.items() if arguments[:2] == ["jobs", "work"]]
    # One registry, which jobs alone write to; the image has the folder, so that its user owns the volume.
    folder = SERVICES[jobs]["environment"]["CS3G_REGISTRY"]
    for name in WORKERS:
        (mount,) = SERVICES[name]["volumes"]
        volume, target, *mode = mount.split(":")
        assert (volume, target, mode) == ("registry", folder, [] if name == jobs else ["ro"])
    assert (
        re.search(r"^WORKDIR (\S+)\n.*\nRUN mkdir registry$", _dockerfile(), re.M)[1] + "/registry" == folder
    )  # type: ignore[index]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_bound_to_loopback(name: str) -> None:
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in SERVICES[name].get("ports", []))
    assert "network_mode" not in SERVICES[name]


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9/]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_services_that_run_on_restart_and_are_checked(name: str) -> None:
    service = SERVICES[name]
    if service["restart"] == "no":
        return
    assert service["restart"] == "unless-stopped"
    assert "healthcheck" in service or (service["image"] == IMAGE and "\nHEALTHCHECK " in _dockerfile())


def test_dependencies_wait_for_something_that_happens() -> None:
    for name, service in SERVICES.items():
        for needed, rule in service.get("depends_on", {}).items():
            target = SERVICES[needed]
            if rule["condition"] == "service_healthy":
                assert "healthcheck" in target, f"{name} waits for the health of {needed}"
            if rule["condition"] == "service_completed_successfully":
                assert target["restart"] == "no", f"{name} waits for the end of {needed}"
            profiles = target.get("profiles", service.get("profiles"))
            assert profiles == service.get("profiles"), f"{name} needs {needed}, which another profile starts"


def test_mounted_files_exist_and_are_read_only() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    for mount in mounts:
        if isinstance(mount, dict):  # data of the user's own: refused, not created, where it is missing
            assert mount["read_only"] is True
            assert mount["bind"]["create_host_path"] is False
        elif mount.startswith("."):
            source, _, mode = mount.split(":")
            assert (ROOT / source).exists(), source
            assert mode == "ro"
        else:
            assert mount.partition(":")[0] in COMPOSE["volumes"]


def test_no_secret_is_written_down() -> None:
    for name, service in SERVICES.items():
        for key in service.get("environment", {}):
            assert not re.search(r"PASSWORD|SECRET|TOKEN|CREDENTIAL", key), f"{name}: {key}"


def test_kafka_listens_where_it_says() -> None:
    listeners = _addresses(_kafka("LISTENERS"))
    advertised = _addresses(_kafka("ADVERTISED_LISTENERS"))
    assert listeners.keys() - advertised.keys() == {_kafka("CONTROLLER_LISTENER_NAMES")}
    protocols = dict(pair.split(":") for pair in _kafka("LISTENER_SECURITY_PROTOCOL_MAP").split(","))
    assert protocols.keys() == listeners.keys()
    assert advertised["INSIDE"] == ("kafka", listeners["INSIDE"][1])
    (published,) = SERVICES["kafka"]["ports"]
    assert published == f"{':'.join(advertised['OUTSIDE'])}:{listeners['OUTSIDE'][1]}"


def test_topics_named_in_deploy_are_of_the_contract() -> None:
    names = {spec.name for spec in SPECS.values()}
    files = [path for path in (ROOT / "deploy").rglob("*") if path.is_file()]
    named = {
        name.replace("\\", "")
        for path in files
        for name in re.findall(r"[a-z][a-z-]*(?:\\*\.[a-z-]+)*\\*\.v\d+\b", path.read_text())
    }
    assert {"predictions.v1", "dead-letters.v1"} <= named <= names


def test_prometheus_scrapes_services_that_exist() -> None:
    settings = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    targets = {
        target.partition(":")[0]
        for job in settings["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    }
    assert targets - {"localhost"} <= SERVICES.keys()
    mounted = {mount.split(":")[1] for mount in SERVICES["prometheus"]["volumes"]}
    assert set(settings["rule_files"]) <= mounted


def test_dashboard_reads_the_provisioned_source() -> None:
    (source,) = yaml.safe_load((ROOT / "deploy/grafana/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/cs3g.json").read_text())
    panels = dashboard["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert source["url"] == "http://prometheus:9090"


def test_image_is_built_from_every_package() -> None:
    context = (ROOT / ".dockerignore").read_text().splitlines()
    wanted = {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", *(f"{name}/" for name in PACKAGES)}
    assert {line[1:] for line in context if line.startswith("!")} == wanted


def test_image_is_pinned_and_runs_as_nobody_in_particular() -> None:
    assert set(re.findall(r"^FROM (\S+)", _dockerfile(), re.M)) == {"python:3.12.12-slim-bookworm"}
    assert re.findall(r"^USER (\S+)", _dockerfile(), re.M)[-1] != "root"


def _arguments(name: str) -> list[str]:
    """Return the words after `cs3g`, wherever the service gives them."""
    service = SERVICES[name]
    if "entrypoint" not in service:
        return list(service["command"])
    shell, flag, script = service["entrypoint"]
    words = shlex.split(script.replace("$$", "$"))
    assert [shell, flag, *words[:2]] == ["sh", "-c", "exec", "cs3g"]
    return words[2:]


def _addresses(listeners: str) -> dict[str, tuple[str, str]]:
    """Return (host, port) by name of `NAME://host:port,...`."""
    matches = re.findall(r"(\w+)://([^:,]*):(\d+)", listeners)
    return {name: (host, port) for name, host, port in matches}


def _kafka(setting: str) -> str:
    return str(SERVICES["kafka"]["environment"][f"KAFKA_{setting}"])


def _dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()
