"""What is sent to boards: which files, and what must hold for them there."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from edgecnn.benchmarks.bundle.signature import signature_path
from edgecnn.benchmarks.deploy.boards import Order
from edgecnn.benchmarks.deploy.options import DeployOptions
from edgecnn.benchmarks.gate.budget import Budgets
from edgecnn.benchmarks.gate.gate import FAIL
from edgecnn.benchmarks.remote.install import device_wheel, running_version
from edgecnn.benchmarks.remote.received import judged_here, sent
from edgecnn.benchmarks.remote.remote import Install
from edgecnn.benchmarks.results.choice import choose
from edgecnn.benchmarks.results.read import kept_report
from edgecnn.edge.errors import ConfigError, field, setting
from edgecnn.edge.files import read_bytes
from edgecnn.edge.formats import RUNTIMES, Runtime
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.text import counted

# Of a benchmark that only has to show whether limits hold: the board serves meanwhile, or waits.
_BRIEF = ("--launches=2", "--min-runs=200", "--allow=noise")
_SERVES = ("serve",)


def files_to_deploy(models: ModelFolder, named: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
    """Return the files that go to a board, and why these: those that are named, or the one that the last benchmark ships.

    Raises:
        ConfigError: If there is no such file, a bundle holds others, or the last benchmark says that all of them fail.
    """
    if not models.is_folder or models.manifest is None:
        raise ConfigError(f"{models.named} is not a folder with a manifest, or a bundle: name one")
    exported = {artifact.path: artifact for artifact in models.manifest.exported}
    if unknown := [name for name in named if name not in exported]:
        raise ConfigError(f"{models.named} has no exported file {unknown[0]}: it has {', '.join(exported)}")
    if models.bundle:
        if named and {*named} != {*exported}:
            raise ConfigError(f"{models.named} is a bundle, which goes to a board as it is: omit {field('files')}")
        return tuple(exported), None
    if named:
        return tuple(named), None
    report = kept_report(models)
    choice = choose([report]) if report else None
    if report and choice and (best := choice.file or choice.closest):
        file = next(item for item in report.files if item.name == best)
        is_current = exported.get(file.artifact.path) == file.artifact
        if is_current and choice.status == FAIL:
            failed = f"the last edgecnn bench fails each file that it measured ({best}: {choice.reason})"
            raise ConfigError(f"{failed}: name one with {field('files')}")
        if is_current and choice.file:
            # The service runs each file on its usual runtime, in one thread.
            same = file.threads == 1 and file.runtime_name == _usual_runtime(file.artifact.format).name_in_results
            how = "" if same else f", on {file.runtime} with {counted(file.threads, 'thread')}, which the service does not use"
            return (file.artifact.path,), f"{file.artifact.path} goes there: the last edgecnn bench names it to ship{how}"
    if not exported:
        raise ConfigError(
            f"{models.named} has no exported file: run edgecnn export {models.named / models.manifest.source().path}"
        )
    which = "its one file goes" if len(exported) == 1 else f"all {len(exported)} files go"
    return tuple(exported), f"{which} there: no edgecnn bench of these files names one to ship"


def _usual_runtime(model_format: str) -> Runtime:
    """Return the runtime with which the service runs a format."""
    return next(row for row in RUNTIMES.values() if model_format in row.formats)


def order_for(
    bundle: Path,
    models: ModelFolder,
    files: tuple[str, ...],
    options: DeployOptions,
    budgets: Budgets,
    again: str,
    scratch: Path,
) -> Order:
    """Return what boards are asked for.

    Args:
        bundle: The bundle that goes there.
        models: What it was made of.
        files: Names of the model files in it.
        options: How it goes into service.
        budgets: The limits of its budget.
        again: Command that deploys it, for messages.
        scratch: Folder for what is made.

    Raises:
        ConfigError: If the budget can't be read.
    """
    signature = read_bytes(signature_path(bundle)).decode(errors="replace") if signature_path(bundle).is_file() else None
    mend = f"{again} {setting('install', True)}"
    exported = models.manifest.exported if models.manifest else ()
    formats = tuple(sorted({artifact.format for artifact in exported if artifact.path in files}))
    writes_code = any(_usual_runtime(name).writes_code for name in formats)
    order = Order(bundle, bundle.stem, running_version(), mend, options, signature, writes_code)
    if options.install:
        order = replace(order, install=Install(formats, device_wheel(scratch / "wheel"), _SERVES))
    if options.budget is None:
        return order
    limits = read_bytes(options.budget).decode(errors="replace")
    judged = partial(judged_here, of=sent(bundle, _BRIEF, options.budget))
    return replace(order, budget=limits, arguments=_BRIEF, most_ms=budgets.of(files[0]).max_p90_ms, judged=judged)
