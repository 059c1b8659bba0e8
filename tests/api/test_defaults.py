"""Commands repeat defaults of the library, because importing it for a help text would take longer: they must be the same."""

import inspect
from collections.abc import Callable
from typing import Any

import edgecnn as ec
from edgecnn.benchmarks.yardsticks.choose import TUNE_SECONDS
from edgecnn.cli.bench_options import _PERCENTILES, seconds
from edgecnn.cli.commands import export, predict, results, serve, train
from edgecnn.edge.inference.predictions import TOP


def default(command: Callable[..., Any], name: str) -> Any:
    return inspect.signature(command).parameters[name].default


def test_selftest_measures_as_by_default_in_python() -> None:
    plan = ec.Plan(*(default(results.selftest, name) for name in ("min_seconds", "min_runs", "launches")))
    assert (default(results.selftest, "trials"), plan) == tuple(default(ec.selftest, name) for name in ("trials", "plan"))


def test_serve_listens_as_by_default_in_python() -> None:
    network, options = serve.NetworkOptions(), ec.ServeOptions()
    assert (network.host, network.port, default(serve.serve, "queue")) == (options.host, options.port, options.queue)


def test_a_search_and_a_wait_are_as_long_as_by_default_in_python() -> None:
    assert seconds("--tune-limit", default(export.export, "tune_limit")) == TUNE_SECONDS == default(ec.export, "tune_seconds")
    assert train.ClusterOptions().wait == default(ec.Cluster, "wait_seconds")


def test_results_are_shown_as_by_default_in_python() -> None:
    assert default(predict.predict, "top") == TOP
    assert ec.BenchOptions().percents == _PERCENTILES
