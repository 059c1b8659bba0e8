"""One worker of a distributed run, like `edgecnn train`, with Ctrl-C at a batch chosen by the test."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from edgecnn.convert.training.distributed.meeting import Cluster
from edgecnn.convert.training.records import TrainingRun, TrainState
from edgecnn.convert.training.train import train
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.model.interface import SCHEMES, Interface


def run(given: dict[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Background processes of a shell ignore it.

    def on_batch(state: TrainState) -> None:
        if [state.epoch.number, state.batch] == given["interrupt_at"]:
            os.kill(os.getpid(), signal.SIGINT)
        say({"epoch": state.epoch.number, "batch": state.batch, "loss": state.epoch.loss})

    def say(line: Any) -> None:
        with Path(given["log"]).open("a") as log:
            log.write(json.dumps(line) + "\n")

    dataset = load_dataset(Path(given["images"]))
    cluster = Cluster(tuple(given["addresses"]), given["worker"], 60)
    folder, interface = Path(given["folder"]), Interface(SCHEMES["unit"])
    try:
        resume = given["resume"]
        train(TrainingRun(dataset, given["config"], folder, interface, (), resume, cluster, on_text=say, on_batch=on_batch))
    except KeyboardInterrupt:
        say("interrupted")
