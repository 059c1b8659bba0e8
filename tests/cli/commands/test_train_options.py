"""The options of `edgecnn train` for workers and settings."""

import pytest

from edgecnn.cli.commands.train import ClusterOptions, RunOptions
from edgecnn.edge.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ClusterOptions(worker=0), "--worker needs --distribute"),
        (ClusterOptions("a:1,b:2"), "name this worker's index with --worker 0 to 1"),
        (ClusterOptions("a:1, b:2", 2), "worker must be 0 to 1, the position in distribute=a:1,b:2, got 2"),
    ],
)
def test_workers_that_cannot_meet_are_refused(options: ClusterOptions, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        options.cluster()


def test_an_ordinary_run_has_no_cluster() -> None:
    assert ClusterOptions().cluster() is None
    cluster = ClusterOptions("a:1, b:2", 1, 3).cluster()
    assert cluster
    assert (cluster.addresses, cluster.worker, cluster.wait_seconds) == (("a:1", "b:2"), 1, 3)


def test_what_is_not_said_is_left_to_the_recipe() -> None:
    with pytest.raises(ConfigError, match="recipe=other is unknown: use cosine or notebook"):
        RunOptions(recipe="other").config()
    cosine, notebook = RunOptions().config(), RunOptions(recipe="notebook").config()
    assert (cosine.batch_size, cosine.augment) == (64, True)
    assert (notebook.batch_size, notebook.augment) == (128, False)
    given = RunOptions(recipe="notebook", batch_size=5, augment=True, epochs=7, filters="1,2,3", network="strided").config()
    assert (given.batch_size, given.augment, given.epochs, given.filters) == (5, True, 7, (1, 2, 3))
    assert (given.network, cosine.network) == ("strided", "cnn")
