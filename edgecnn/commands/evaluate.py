"""Print accuracy and loss on the test images.

For a folder or bundle, each file has a row.

Example: edgecnn evaluate artifacts/mnist/int8.tflite
"""

from typing import TYPE_CHECKING

from edgecnn.commands.shared import AnyTarget, Data, Images, Signature, StatedInterface, Threads, Trust, found_usage
from edgecnn.edge.data.folder_options import NO_OPTIONS
from edgecnn.edge.option import checked
from edgecnn.edge.result import SILENT, Progress

if TYPE_CHECKING:
    from edgecnn.benchmarks.measure.evaluation import Evaluations


@checked
def evaluate(
    target: AnyTarget,
    *,
    data: Data = None,
    images: Images = NO_OPTIONS,
    interface: StatedInterface = None,
    trust: Trust = (),
    signature: Signature = None,
    threads: Threads = 1,
    progress: Progress = SILENT,
) -> "Evaluations":
    """Classify test images with a model file, or with each file of a folder or bundle, and compare with their labels.

    Returns:
        An `Evaluation` for each file: accuracy 0 to 1, loss in nats.

    Raises:
        ArtifactError: If a file or the images are missing or damaged, or a runtime refuses a file.
        ConfigError: If the images do not fit the model, or its preprocessing is unknown and `interface` is missing.
        MissingDependency: If no file has a runtime here.
    """
    from edgecnn.benchmarks.measure.evaluation import Evaluations, evaluated
    from edgecnn.edge.inference.usage import Usage
    from edgecnn.edge.model_folder import opened

    usage = Usage(data, images, interface, trust, signature, threads)
    with opened(target) as models:
        here, skipped = models.runnable()
        if not models.is_folder:
            usage = found_usage(usage, [models.model()], progress)
        return Evaluations(tuple(evaluated(models, name, usage, progress) for name in here), skipped)
