"""Networks of each kind of layer, each in a file written at its first use."""

from pathlib import Path

import pytest

from tests.convert.graph.networks import Summarize, summarized, written


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


@pytest.fixture
def summary(folder: Path) -> Summarize:
    return lambda network, model_format: summarized(written(folder, network, model_format))
