"""`edgecnn summary`."""

from commands.options import Json, ModelOptions, ModelTarget
from commands.targets import opened
from convert.summary import Summaries, summarize
from convert.summary_network import lacking
from convert.summary_text import summaries_text, summary_text
from edge.console import check_writable, emit, json_file, say
from edge.errors import MissingDependency
from edge.model_file import read_model


def summary(target: ModelTarget, model: ModelOptions = ModelOptions(), json: Json = None) -> None:
    """Say what a file costs: layers, shapes, parameters, multiply-accumulates, bytes of weights and of peak activations.

    Nothing is measured. Of a folder or bundle it is the totals of each file.
    """
    check_writable(json_file(json))
    with opened(target) as where:
        files, skipped = where.files()
        found = []
        for file in files:
            name, read = where.name_of(file), read_model(file)
            reason = lacking(read.format)
            if reason and where.in_folder:
                skipped[file.name] = reason
                continue
            say(f"{name}: reading")
            found.append(summarize(name, read, tuple(model.trust or ()), model.signature))
        if not where.in_folder:
            emit(summary_text(found[0]), found[0], json)
            return
    if not found:
        raise MissingDependency("; ".join(f"{name}: {reason}" for name, reason in skipped.items()))
    result = Summaries(tuple(found), skipped)
    emit(summaries_text(result), result, json)
