"""What is derived rather than measured, and what stands for a setting of the pipeline."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.scaling_plan.costs import CHECKPOINT_EVERY_S, REFRESH_WINDOWS, Costs
from benchmarks.scaling_plan.measure import PARTITIONS, RUN_INSTRUMENTS, RUN_WINDOW_TICKS, RUNS, kafka_costs
from pipeline.agents.checkpoints import INTERVAL_S
from pipeline.graph_config import GraphConfig


def test_a_worker_costs_what_its_runs_cost() -> None:
    kafka_tick_s, message_s = kafka_costs(Costs())
    costs = replace(Costs(), kafka_tick_s=kafka_tick_s, message_s=message_s)
    for run in RUNS:
        windows = run.ticks / RUN_WINDOW_TICKS
        worker_s = run.ticks * (costs.tick_s + kafka_tick_s) + run.ticks / run.message_ticks * message_s
        worker_s += windows * (RUN_INSTRUMENTS * costs.close_row_s + PARTITIONS * costs.sent_s)
        worker_s += windows * costs.sequence_s(RUN_INSTRUMENTS, PARTITIONS, window_s=10.0)
        assert worker_s == pytest.approx(run.worker_s, rel=1e-6)


def test_defaults_are_what_the_command_derives() -> None:
    assert kafka_costs(Costs()) == pytest.approx((Costs().kafka_tick_s, Costs().message_s), rel=0.02)


def test_intervals_are_the_pipeline_s() -> None:
    assert CHECKPOINT_EVERY_S == INTERVAL_S
    assert GraphConfig("u", 1).correlation_stride == REFRESH_WINDOWS
