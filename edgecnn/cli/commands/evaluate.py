"""`edgecnn evaluate`."""

import edgecnn as ec
from edgecnn.cli.console import check_writable, emit, json_file
from edgecnn.cli.options import ImageOptions, InterfaceOptions, Json, ModelOptions, ModelTarget, Threads
from edgecnn.cli.progress import shown


def evaluate(
    target: ModelTarget,
    images: ImageOptions,
    takes: InterfaceOptions,
    model: ModelOptions,
    threads: Threads = 1,
    json: Json = None,
) -> None:
    """Print accuracy and loss on the test images, for one file or for each file in a folder or bundle."""
    check_writable(json_file(json))
    with shown() as progress:
        result = ec.evaluate(
            target,
            **images.arguments(),
            interface=takes.interface(images),
            **model.arguments(),
            threads=threads,
            progress=progress,
        )
    emit(result, json)
