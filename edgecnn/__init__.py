"""Deploy a Keras image classifier to a small device, and prove that it still works there.

Every command of `edgecnn` is one call here: docs/how-to/python.md. Nothing is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgecnn.api.bench import bench
    from edgecnn.api.bundle import bundle
    from edgecnn.api.checks import doctor, verify
    from edgecnn.api.data import inspect_images, load_dataset
    from edgecnn.api.devices import bench_devices
    from edgecnn.api.diagnose import diagnose
    from edgecnn.api.evaluate import evaluate
    from edgecnn.api.export import export
    from edgecnn.api.predict import predict, read_image
    from edgecnn.api.results import compare, read_report, read_results, selftest
    from edgecnn.api.serve import ServeOptions, export_page, serve
    from edgecnn.api.summary import summary
    from edgecnn.api.sweep import sweep
    from edgecnn.api.train import train, train_worker
    from edgecnn.benchmarks.judge.gate import Budget
    from edgecnn.benchmarks.measure.options import BenchOptions
    from edgecnn.benchmarks.measure.planning import PlanOptions
    from edgecnn.benchmarks.results.records import Report
    from edgecnn.benchmarks.timing.latency import Plan
    from edgecnn.convert.training.config import TrainConfig
    from edgecnn.convert.training.distributed.meeting import Cluster
    from edgecnn.convert.training.records import TrainResult
    from edgecnn.edge.data.dataset import Dataset
    from edgecnn.edge.data.folder_options import FolderOptions
    from edgecnn.edge.errors import (
        ArtifactError,
        ConfigError,
        ConversionError,
        EdgeCnnError,
        GateFailed,
        InvalidMeasurement,
        MissingDependency,
    )
    from edgecnn.edge.folder.model_folder import ModelFolder
    from edgecnn.edge.folder.model_folder import open_models as open
    from edgecnn.edge.inference.classifier import Classifier, Prediction
    from edgecnn.edge.model.interface import Interface, preprocessing
    from edgecnn.edge.progress import Progress

    __version__: str

# For each module, its names here.
_MODULES = {
    "edgecnn.api.bench": ("bench",),
    "edgecnn.api.bundle": ("bundle",),
    "edgecnn.api.checks": ("doctor", "verify"),
    "edgecnn.api.data": ("inspect_images", "load_dataset"),
    "edgecnn.api.devices": ("bench_devices",),
    "edgecnn.api.diagnose": ("diagnose",),
    "edgecnn.api.evaluate": ("evaluate",),
    "edgecnn.api.export": ("export",),
    "edgecnn.api.predict": ("predict", "read_image"),
    "edgecnn.api.results": ("compare", "read_report", "read_results", "selftest"),
    "edgecnn.api.serve": ("ServeOptions", "export_page", "serve"),
    "edgecnn.api.summary": ("summary",),
    "edgecnn.api.sweep": ("sweep",),
    "edgecnn.api.train": ("train", "train_worker"),
    "edgecnn.benchmarks.judge.gate": ("Budget",),
    "edgecnn.benchmarks.measure.options": ("BenchOptions",),
    "edgecnn.benchmarks.measure.planning": ("PlanOptions",),
    "edgecnn.benchmarks.results.records": ("Report",),
    "edgecnn.benchmarks.timing.latency": ("Plan",),
    "edgecnn.convert.training.config": ("TrainConfig",),
    "edgecnn.convert.training.records": ("TrainResult",),
    "edgecnn.convert.training.distributed.meeting": ("Cluster",),
    "edgecnn.edge.data.dataset": ("Dataset",),
    "edgecnn.edge.data.folder_options": ("FolderOptions",),
    "edgecnn.edge.errors": (
        "ArtifactError",
        "ConfigError",
        "ConversionError",
        "EdgeCnnError",
        "GateFailed",
        "InvalidMeasurement",
        "MissingDependency",
    ),
    "edgecnn.edge.folder.model_folder": ("ModelFolder", "open"),
    "edgecnn.edge.inference.classifier": ("Classifier", "Prediction"),
    "edgecnn.edge.model.interface": ("Interface", "preprocessing"),
    "edgecnn.edge.progress": ("Progress",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}
# Names that would hide one of Python's in their own module.
_OTHER_NAMES = {"open": "open_models"}

__all__ = [
    "ArtifactError",
    "BenchOptions",
    "Budget",
    "Classifier",
    "Cluster",
    "ConfigError",
    "ConversionError",
    "Dataset",
    "EdgeCnnError",
    "FolderOptions",
    "GateFailed",
    "Interface",
    "InvalidMeasurement",
    "MissingDependency",
    "ModelFolder",
    "Plan",
    "PlanOptions",
    "Prediction",
    "Progress",
    "Report",
    "ServeOptions",
    "TrainConfig",
    "TrainResult",
    "__version__",
    "bench",
    "bench_devices",
    "bundle",
    "compare",
    "diagnose",
    "doctor",
    "evaluate",
    "export",
    "export_page",
    "inspect_images",
    "load_dataset",
    "open",
    "predict",
    "preprocessing",
    "read_image",
    "read_report",
    "read_results",
    "selftest",
    "serve",
    "summary",
    "sweep",
    "train",
    "train_worker",
    "verify",
]

if not TYPE_CHECKING:  # So that a type checker rejects unknown names.

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            value = import_module("importlib.metadata").version("edgecnn")
        elif name in _HOMES:
            value = getattr(import_module(_HOMES[name]), _OTHER_NAMES.get(name, name))
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    # Without this module's own imports.
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
