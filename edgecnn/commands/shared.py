"""Arguments of several commands, and how text becomes their values."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from edgecnn.edge.data.folder_options import FolderOptions
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.formats import MOST_THREADS, suffixes
from edgecnn.edge.manifest import MODEL_NAME
from edgecnn.edge.model.interface import SCHEMES, Interface, preprocessing
from edgecnn.edge.option import Group, Option, numbers
from edgecnn.edge.result import Progress

if TYPE_CHECKING:
    from edgecnn.edge.data.dataset import Dataset
    from edgecnn.edge.inference.usage import Target, Usage
    from edgecnn.edge.model_file import ModelFile

Devices = Annotated[
    Sequence[str], Option("Board, as ssh takes it; several are asked at once.", name="--device", metavar="HOST", board="here")
]
RESULT = "JSON file written by edgecnn bench --json; boards.json/pi4 is one board of several."
WISH = "What counts first when the file to ship is chosen."
DEFAULT_FOLDER = Path("artifacts/mnist")
DEFAULT_MODEL = DEFAULT_FOLDER / MODEL_NAME


def stated_interface(
    preprocess: Annotated[str | None, Option("Preprocessing of the model.", metavar="SCHEME", one_of=tuple(SCHEMES))] = None,
    scale: Annotated[float | None, Option("Scale applied to each pixel, instead of a scheme.")] = None,
    mean: Annotated[
        Sequence[float] | None,
        Option("Mean to subtract after scaling.", metavar="M[,M,M]", parse=numbers, example="0.485,0.456,0.406"),
    ] = None,
    std: Annotated[
        Sequence[float] | None,
        Option("Standard deviation to divide by.", metavar="S[,S,S]", parse=numbers, example="0.229,0.224,0.225"),
    ] = None,
    bgr: Annotated[bool, Option("The model takes channels in the order blue, green, red.")] = False,
    logits: Annotated[bool, Option("The model's output is logits: it ends without softmax.")] = False,
    images: FolderOptions = FolderOptions(),
) -> Interface:
    """Return what a user says about a model.

    Raises:
        ConfigError: If the statements contradict each other.
    """
    taken = preprocessing(preprocess, scale=scale, mean=mean, std=std, bgr=bgr, fit=images.fit or "letterbox")
    if taken is None:
        raise ConfigError(f"{field('logits')} alone does not say how pixels go in: add {field('preprocess')}")
    return Interface(taken, "logits" if logits else "probabilities")


def found_usage(usage: "Usage", models: Sequence["ModelFile"], progress: Progress) -> "Usage":
    """Return what is stated, with what the first file shows by itself; a board may have no converters to see that."""
    try:
        from edgecnn.workflows.source_interface import found_usage
    except ModuleNotFoundError:
        return usage
    return found_usage(usage, models, progress)


QatEpochs = Annotated[
    int | None,
    Option(
        "Train int8 and int4 files for their integers (quantization-aware training): passes over the training images. The "
        "plain file stays unless the trained one is right more often: shown on test images, or of several networks counted on "
        "validation images.",
        metavar="EPOCHS",
        default="not trained",
        low=1,
    ),
]
_TARGET = Option(
    f"A {suffixes()} file, a folder with a manifest, a bundle, or a file in a bundle: mnist.zip/int8.tflite.",
    argument=True,
    kind=Path,
)
AnyTarget = Annotated["Target", _TARGET]
TargetIfAny = Annotated["Target | None", _TARGET]
_DATA = Option(
    "A folder of images by class or of IDX files, an .npz file, or mnist, fashion-mnist, cifar10 or cifar100.",
    metavar="SOURCE",
    default="the model's own images, or MNIST",
    kind=str,
    panel="Images",
    board="images",
)
Data = Annotated[str | Path | None, _DATA]
DataOrDataset = Annotated["Dataset | str | Path | None", _DATA]
Images = Annotated[
    FolderOptions, Group("How a folder of images is read, and the class names.", "Images", omit=("val_share",), board="images")
]
ImagesAndShare = Annotated[FolderOptions, Group("How images are read, and the share of validation images.", "Images")]
RayAddress = Annotated[
    str | None,
    Option(
        "Ray cluster whose nodes train the networks: auto for the one that this machine has joined, or its address.",
        metavar="HOST:PORT",
        default="none: this process",
    ),
]
StatedInterface = Annotated[
    Interface | str | None,
    Group(
        "Preprocessing and output of a file without a manifest: an `Interface`, or `unit`, `raw`, `tf`, `torch` or `caffe`.",
        "A model that edgecnn did not train or export",
        kind=stated_interface,
        make=stated_interface,
        passed=("images",),
        board="refused",
    ),
]
Trust = Annotated[
    Sequence[str],
    Option("Python module that defines the model's own layers; its code runs.", metavar="MODULE", board="refused"),
]
Signature = Annotated[str | None, Option("Signature to run, if a TFLite file has several.", board="refused")]
Threads = Annotated[int, Option("Number of threads of the runtime.", low=1, high=MOST_THREADS)]
SigningKey = Annotated[
    str | Path | None,
    Option(
        "Key of ssh-keygen to sign the bundle with; a public key, if ssh-agent holds the private one.",
        metavar="KEY",
        default="no signature",
    ),
]
