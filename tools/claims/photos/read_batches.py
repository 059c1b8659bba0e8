"""The input path of training alone: photos are read, varied and made ready on some of the cores, and nothing is trained.

    python -m tools.claims.photos.read_batches FOLDER SIDE BATCH CORES

It prints the images a second of the first epoch and of the second, whose images are kept in memory, and the milliseconds of
processor time that each image of the first took in this process and in those that decode.
"""

import os
import resource
import sys
import time
from pathlib import Path


def main(folder: Path, side: int, batch: int, cores: int) -> None:
    """Read two epochs."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])  # Before TensorFlow starts its threads.
    import numpy as np  # noqa: PLC0415

    import edgecnn as ec  # noqa: PLC0415
    from edgecnn.convert.training.fit.augmentation import varied  # noqa: PLC0415
    from edgecnn.convert.training.fit.readers import open_readers  # noqa: PLC0415
    from edgecnn.edge.data.splits import Indices  # noqa: PLC0415
    from edgecnn.edge.model.preprocess import Images  # noqa: PLC0415

    data = ec.load_dataset(folder, ec.FolderOptions(size=(side, side)))
    count = len(data.train.labels)
    order = np.random.default_rng(0).permutation(count)

    def ready(number: int, images: Images) -> tuple[object]:
        return (varied("photo", images, np.random.default_rng([0, number])).astype(np.float32) / 255,)

    def chosen(number: int) -> Indices:
        return np.asarray(order[number * batch : (number + 1) * batch])

    ready(0, np.zeros((batch, side, side, 3), np.uint8))  # TensorFlow is imported, its operators are there.
    rates, used = [], 0.0
    with open_readers(data, lambda text: print(text, file=sys.stderr)) as readers:
        for epoch in range(2):
            start, spent = time.monotonic(), time.process_time()
            for _ in readers.train.batches(-(-count // batch), chosen, ready):
                pass
            rates.append(count / (time.monotonic() - start))
            used = used if epoch else time.process_time() - spent
    decoders = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(*rates, 1e3 * used / count, 1e3 * (decoders.ru_utime + decoders.ru_stime) / count)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
