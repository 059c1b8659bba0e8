"""The requirements of a distributed run: its options, batches and model can be shared, and all settings agree."""

from typing import Any

from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.training.distributed.meeting import Cluster, Facts
from edgecnn.convert.training.training_run import TrainingRun
from edgecnn.edge.errors import ConfigError, field


def facts_of(run: TrainingRun, cluster: Cluster, made_with: dict[str, str]) -> Facts:
    """Return what must be the same on all workers.

    Args:
        run: The run as this worker sees it.
        cluster: The workers.
        made_with: Version of each package here.
    """
    record, interface = run.dataset.record(), run.interface
    return {
        field("addresses"): ",".join(cluster.addresses),
        field("resume"): str(run.resume),
        **{field(name): value for name, value in run.config.settings().items()},
        "training images' SHA-256": record.train_sha256,
        "test images' SHA-256": record.test_sha256,
        "validation images' SHA-256": record.validation.val_sha256 if record.validation else "none",
        "preprocessing": str(interface.preprocessing),
        "output": interface.output,
        "classes": ", ".join(interface.class_names),
        **made_with,
    }


def check_batches(images: int, batch_size: int, workers: int) -> None:
    """Raise if a worker would get no image of a batch.

    Raises:
        ConfigError: If the last batch has fewer images than there are workers.
    """
    last = images % batch_size or batch_size
    if last < workers:
        raise ConfigError(
            f"{field('addresses')}: the last batch of {images:,} images would have {last}, fewer than the {workers} workers: "
            f"give another {field('batch_size')}"
        )


def check_model(model: Any) -> None:
    """Raise if the training step of a model can't be replaced.

    Raises:
        ConfigError: If it has its own step, or trainable weights that are not float32.
    """
    if type(model).train_step is not load_keras().Model.train_step:
        raise ConfigError(
            f"{field('addresses')}: {type(model).__name__} has its own train_step, which would not share gradients: omit "
            f"{field('addresses')}"
        )
    odd = sorted({variable.dtype for variable in model.trainable_variables} - {"float32"})
    if odd or not model.trainable_variables:
        raise ConfigError(
            f"{field('addresses')} needs models with trainable float32 weights, got {odd or 'none'}: train without"
        )
