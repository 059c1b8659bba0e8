"""`edgecnn summary`."""

import edgecnn as ec
from edgecnn.cli.console import check_writable, emit, json_file
from edgecnn.cli.options import Json, ModelOptions, ModelTarget
from edgecnn.cli.progress import shown


def summary(target: ModelTarget, model: ModelOptions = ModelOptions(), json: Json = None) -> None:
    """Count what a file costs: layers, shapes, parameters, multiply-accumulates, bytes of weights and of peak activations.

    Nothing is measured. Of several files, the totals of each are shown.
    """
    check_writable(json_file(json))
    with shown() as progress:
        result = ec.summary(target, **model.arguments(), progress=progress)
    emit(result, json)
