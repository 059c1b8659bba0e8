# isort: skip_file
# The public names, each once: type checkers read them here, and so does __init__.py. The modules of edgecnn.commands below a
# heading are commands, in this order.

from typing import NamedTuple

# Commands that prepare a model:
from edgecnn.commands.data import inspect_images as inspect_images
from edgecnn.commands.data import load_dataset as load_dataset
from edgecnn.commands.train import train as train
from edgecnn.commands.sweep import sweep as sweep
from edgecnn.commands.fit import fit as fit
from edgecnn.commands.export import export as export
from edgecnn.commands.bundle import bundle as bundle

# Commands that measure it:
from edgecnn.commands.evaluate import evaluate as evaluate
from edgecnn.commands.bench import bench as bench
from edgecnn.benchmarks.remote.devices import bench_devices as bench_devices
from edgecnn.commands.compare import compare as compare
from edgecnn.commands.report import read_results as read_results
from edgecnn.benchmarks.results.read import read_report as read_report
from edgecnn.commands.selftest import selftest as selftest
from edgecnn.commands.diagnose import diagnose as diagnose
from edgecnn.commands.summary import summary as summary

# Commands for the device:
from edgecnn.commands.doctor import doctor as doctor
from edgecnn.commands.verify import verify as verify
from edgecnn.commands.predict import predict as predict
from edgecnn.edge.inference.predictions import read_image as read_image
from edgecnn.commands.serve import serve as serve
from edgecnn.commands.serve import export_page as export_page

# Commands for boards over ssh:
from edgecnn.commands.deploy import deploy as deploy
from edgecnn.commands.deploy import deploy_status as deploy_status
from edgecnn.commands.deploy import rollback as rollback
from edgecnn.commands.doctor import doctor_devices as doctor_devices
from edgecnn.commands.verify import verify_devices as verify_devices

# Images, models, settings, results and errors:
from edgecnn.benchmarks.deploy.options import DeployOptions as DeployOptions
from edgecnn.benchmarks.gate.budget import Budget as Budget
from edgecnn.benchmarks.measure.options import BenchOptions as BenchOptions
from edgecnn.benchmarks.measure.options import Plan as Plan
from edgecnn.benchmarks.measure.options import PlanOptions as PlanOptions
from edgecnn.benchmarks.results.records import Report as Report
from edgecnn.convert.training.config import TrainConfig as TrainConfig
from edgecnn.convert.training.records import TrainResult as TrainResult
from edgecnn.edge.data.dataset import Dataset as Dataset
from edgecnn.edge.data.folder_options import FolderOptions as FolderOptions
from edgecnn.edge.errors import ArtifactError as ArtifactError
from edgecnn.edge.errors import ConfigError as ConfigError
from edgecnn.edge.errors import ConversionError as ConversionError
from edgecnn.edge.errors import EdgeCnnError as EdgeCnnError
from edgecnn.edge.errors import GateFailed as GateFailed
from edgecnn.edge.errors import InvalidMeasurement as InvalidMeasurement
from edgecnn.edge.errors import MissingDependency as MissingDependency
from edgecnn.edge.model_folder import ModelFolder as ModelFolder
from edgecnn.edge.model_folder import open as open
from edgecnn.edge.inference.classifier import Classifier as Classifier
from edgecnn.edge.inference.classifier import Prediction as Prediction
from edgecnn.edge.model.interface import Interface as Interface
from edgecnn.edge.model.interface import preprocessing as preprocessing
from edgecnn.edge.result import Progress as Progress
from edgecnn.edge.serving.options import ServeOptions as ServeOptions

class _Name(NamedTuple):
    public: str
    module: str
    task: str

NAMES: list[_Name]
__all__: list[str]
__version__: str
