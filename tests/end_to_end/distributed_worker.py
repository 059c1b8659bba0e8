"""One worker of a distributed run, as `edgecnn train` would be it, with Ctrl-C at a batch of the test's choosing."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from convert.dataset import load_dataset
from convert.meeting import Cluster
from convert.train import TrainState, train_together
from convert.train_records import TrainConfig
from edge.interface import SCHEMES, Interface


def run(given: dict[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background ignores it.

    def on_batch(state: TrainState) -> None:
        if [state.epoch, state.batch] == given["interrupt_at"]:
            os.kill(os.getpid(), signal.SIGINT)
        say({"epoch": state.epoch, "batch": state.batch, "loss": state.loss})

    def say(line: Any) -> None:
        with Path(given["log"]).open("a") as log:
            log.write(json.dumps(line) + "\n")

    dataset = load_dataset(Path(given["images"]))
    config = TrainConfig(**{**given["config"], "filters": tuple(given["config"]["filters"])})
    cluster = Cluster(tuple(given["addresses"]), given["worker"], 60)
    folder, interface = Path(given["folder"]), Interface(SCHEMES["unit"])
    try:
        train_together(cluster, dataset, config, folder, interface, (), given["resume"], say, on_batch)
    except KeyboardInterrupt:
        say("interrupted")


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
