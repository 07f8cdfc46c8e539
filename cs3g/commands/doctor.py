"""`cs3g doctor`: whether this machine can run the pipeline, and what to do where it cannot."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import typer

Status = Literal["ok", "note", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: `fail` stops the pipeline, `note` limits it."""

    check: str
    status: Status
    detail: str


def doctor(
    bootstrap_servers: Annotated[
        str | None,
        typer.Option(help="Also check the broker at this host:port.", envvar="CS3G_BOOTSTRAP_SERVERS"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check this machine: Python, libraries, kernels, shipped models, brokers.

    Example: cs3g doctor --bootstrap-servers 127.0.0.1:9092
    """
    checks: list[Callable[[], Finding]] = [_python, _libraries, _kernels, _models, _embedded, _docker]
    findings = [check() for check in checks]
    if bootstrap_servers is not None:
        findings.append(_broker(bootstrap_servers))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            typer.echo(f"{finding.status:4}  {finding.check:10}  {finding.detail}")
    if any(finding.status == "fail" for finding in findings):
        raise typer.Exit(1)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding(
        "python", "ok" if supported else "fail", version if supported else f"{version}: use 3.11 to 3.13"
    )


def _libraries() -> Finding:
    from importlib.metadata import PackageNotFoundError, version

    found, missing = [], []
    for name in (
        "aiokafka",
        "faust-streaming",
        "numba",
        "numpy",
        "polars",
        "pyarrow",
        "torch",
        "torch-geometric",
    ):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding(
            "libraries", "fail", f"missing: {', '.join(missing)}; pip install -c constraints.txt ."
        )
    return Finding("libraries", "ok", ", ".join(found))


def _kernels() -> Finding:
    import time

    import numpy as np

    from cs3g_model.normalization import normalize

    started = time.perf_counter()
    scaled = normalize(np.array([[[1.0], [2.0], [4.0]]]), np.ones((1, 3), np.bool_))
    detail = f"compiled and run in {time.perf_counter() - started:.1f} s"
    return Finding("kernels", "ok" if np.isfinite(scaled).all() else "fail", detail)


def _models() -> Finding:
    from cs3g_model.artifacts import list_artifacts
    from cs3g_model.errors import ModelError

    try:
        artifacts = list_artifacts()
    except ModelError as error:
        return Finding("models", "fail", str(error))
    if not artifacts:
        return Finding("models", "fail", "no model is shipped; install the package again")
    return Finding("models", "ok", ", ".join(f"{found.role} {found.model_id}" for _, found in artifacts))


def _embedded() -> Finding:
    if shutil.which("noida-db") is None and not _importable("noida_db"):
        return Finding("embedded", "note", "no embedded broker; pip install 'cs3g[embedded]', or run a Kafka")
    return Finding("embedded", "ok", "noida-db: for demo, tests and development only")


def _docker() -> Finding:
    if shutil.which("docker") is None:
        return Finding("docker", "note", "not found: `docker compose up` and tests on Apache Kafka need it")
    return Finding("docker", "ok", "client found")


def _broker(bootstrap_servers: str) -> Finding:
    import asyncio

    from topics.admin import list_topics
    from topics.errors import BrokerUnavailable

    try:
        found = asyncio.run(list_topics(bootstrap_servers))
    except BrokerUnavailable as error:
        return Finding("broker", "fail", str(error))
    return Finding("broker", "ok", f"{bootstrap_servers} answers, {len(found)} topics")


def _importable(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None
