"""What a run of the retraining loop consists of: models, workers, the policy, and when the student goes stale."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cs3g.demo_run import DEFAULT_DATA, DEFAULT_WINDOWS
from cs3g.loop.stale import write_stale
from cs3g.session_plan import SessionPlan
from cs3g_model.artifacts import resolve_artifact
from pipeline.config import PipelineConfig, load_config
from pipeline.errors import ConfigError
from pipeline.registry import Activation, Registry
from pipeline.trigger_config import TRIGGER_PREFIX, TriggerPolicy, load_trigger_policy
from replay.config import DEFAULT_HEARTBEAT_NS, ReplayConfig
from replay.runner import run_replay
from replay.sinks import NullSink
from replay.sources.base import Source
from topics.specs import replay_prefix

UNIVERSE: Final = "loop"
POLICY: Final = {
    "agreement_windows": 16,
    "activation_lag_windows": 10,
    "cooldown": "60d",
    "max_jobs": 2,
    "budget_period": "365d",
}
"""What differs from the defaults, so that a year of days shows the whole loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopOptions:
    """What the command was asked for; see `cs3g loop --help`."""

    out: Path
    data: tuple[str, ...] = ()
    workers: int = 1
    job_workers: int = 1
    window: str | None = None
    limit: int | None = None
    symbols: frozenset[str] | None = None
    sectors: Path | None = None
    partitions: int = 4
    student_model: str = "student"
    teacher_model: str | None = None
    stale_at: float = 0.3
    stale_amount: float = 1.0
    policy: Path | None = None
    bootstrap_servers: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """What to replay."""
        return self.data or (DEFAULT_DATA,)


@dataclass(frozen=True, slots=True)
class LoopPlan:
    """A session, its policy, and what serves from when before anything is retrained.

    Attributes
    ----------
    activations
        The sound student from the first window, the stale one from a later one.
    environment
        Of every worker, besides the configuration.
    """

    session: SessionPlan
    policy: TriggerPolicy
    activations: tuple[Activation, ...]
    environment: dict[str, str]


async def make_plan(options: LoopOptions, bootstrap: str, sources: Sequence[Source]) -> LoopPlan:
    """Fill the registry of a run and lay down what runs.

    Raises
    ------
    ConfigError
        An option is out of range, or the registry is of another run.
    replay.errors.ReplayError
        The data cannot be read.
    """
    if not 0.0 < options.stale_at < 1.0:
        raise ConfigError(f"`stale_at` (={options.stale_at}) must be in (0, 1): a share of the replayed time")
    config = _config(options, bootstrap, sources)
    replay = ReplayConfig(
        run_id=config.run_id,
        universe=UNIVERSE,
        symbols=options.symbols,
        limit=options.limit,
        partitions=options.partitions,
        heartbeat_ns=min(DEFAULT_HEARTBEAT_NS, config.window_size_ns),
    )
    since_ns = await _stale_since_ns(options.stale_at, replay, sources, config.window_size_ns)
    registry = Registry(config.registry_url)
    if registry.active(UNIVERSE, "student") is not None:
        raise ConfigError(
            f"{registry.url} already says what serves {UNIVERSE!r}: a loop starts with an empty registry;"
            " give another --out"
        )
    stale = write_stale(options.student_model, options.out / "stale", amount=options.stale_amount)
    sound_id = registry.add(resolve_artifact(options.student_model))
    policy = load_trigger_policy(options.policy, **({} if options.policy else POLICY))
    if policy.student_id is None:
        # What was learned once is not learned anew from the few windows that were seen since.
        policy = policy.model_copy(update={"student_id": sound_id})
    activations = (
        registry.activate(UNIVERSE, "student", sound_id, detail="the sound student"),
        registry.activate(
            UNIVERSE,
            "student",
            registry.add(stale),
            since_ts_close=since_ns,
            detail=f"made stale on purpose, {options.stale_amount:g} of its head forgotten",
        ),
    )
    # A month of days cannot show that a rank IC is no worse; how far a student agrees with the teacher, it can.
    work = ("jobs", "work", "--measure", "agreement", "--spool")
    services: list[tuple[str, tuple[str, ...]]] = [
        ("outcomes-1", ("worker", "--role", "outcomes", "--id", "1"))
    ]
    for number in range(1, options.job_workers + 1):
        name = f"jobs-{number}"
        services.append((name, (*work, str(options.out / "spool" / name), "--id", name)))
    session = SessionPlan(
        config=config,
        replay=replay,
        workers=options.workers,
        embedded=options.bootstrap_servers is None,
        services=tuple(services),
    )
    return LoopPlan(session, policy, activations, policy_environment(policy))


def policy_environment(policy: TriggerPolicy) -> dict[str, str]:
    """Return the environment that gives a worker this policy."""
    return {
        f"{TRIGGER_PREFIX}{name.upper()}": str(value)
        for name, value in policy.model_dump(exclude_none=True).items()
    }


def _config(options: LoopOptions, bootstrap: str, sources: Sequence[Source]) -> PipelineConfig:
    run_id = f"loop-{secrets.token_hex(4)}"
    return load_config(
        bootstrap_servers=bootstrap,
        topic_prefix=replay_prefix(run_id),
        run_id=run_id,
        mode="replay",
        universe=UNIVERSE,
        window_size_ns=options.window or DEFAULT_WINDOWS.get(sources[0].schema, "1s"),
        tick_partitions=options.partitions,
        teacher_model_id=options.teacher_model,
        registry=str((options.out / "registry").resolve()),
    )


async def _stale_since_ns(share: float, replay: ReplayConfig, sources: Sequence[Source], size_ns: int) -> int:
    """Return the end of the window in which so large a share of the replayed time has passed."""
    survey = await run_replay(replay, sources, NullSink())
    first_ns, last_ns = survey.ts_first or 0, survey.ts_last or 0
    return (first_ns + int(share * (last_ns - first_ns))) // size_ns * size_ns
