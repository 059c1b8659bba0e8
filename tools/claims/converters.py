"""The .onnx files of edgecnn's own converter from Keras beside those of tf2onnx and onnxslim.

Both files of a network are timed in one run of `edgecnn bench`. The networks have random weights: times don't depend on them.
The moving averages of their batch normalization are random too, so that the outputs show whether it went into the weights as it
should.
"""

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgecnn as ec
from edgecnn.benchmarks.results.latency_summary import typical_ns
from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.onnx.convert import converted
from edgecnn.convert.onnx.source import KerasSource, of_one_image
from edgecnn.convert.training.model.networks import NETWORKS, build_network
from edgecnn.edge.manifest import OWN_ONNX_CONVERTER, TF2ONNX
from edgecnn.edge.runtimes import opener_for
from tools.claims.claims import Claim, at_most

_TURNS = 3
_SMALL, _LARGE = (28, 28, 1), (224, 224, 3)
_BACKBONES = ("MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "EfficientNetV2B0", "ResNet50", "ResNet50V2")
_SAME = 1e-5
_LOGITS = 0.1  # Their standard deviation over the images.


def measure(folder: Path) -> list[Claim]:
    """Compare both converters on edgecnn's own networks and on others'. The files of `folder` are not used."""
    claims = []
    with tempfile.TemporaryDirectory() as made:
        for name, model in _networks().items():
            claims += _compared(name, model, Path(made))
    return claims


def _networks() -> dict[str, Any]:
    keras = load_keras()
    keras.utils.set_random_seed(0)
    own: dict[str, Any] = {name: build_network(name, _SMALL, 10, 0.5, row.filters) for name, row in NETWORKS.items()}
    others = {name: getattr(keras.applications, name)(input_shape=_LARGE, weights=None, classes=10) for name in _BACKBONES}
    for model in (*own.values(), *others.values()):
        settle(model, images_of(tuple(model.input_shape[1:])))
    return {**own, **others}


def images_of(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return images (8, *shape) of random patches from 0 to 255, of another size and brightness in each."""
    rng = np.random.default_rng(0)
    patches = rng.uniform(0, 255, (8, *shape)) * rng.uniform(0.1, 1, (8, 1, 1, shape[2]))
    for number, image in enumerate(patches):
        rows, columns = (np.arange(size) // (number + 1) for size in shape[:2])
        patches[number] = image[rows][:, columns]
    return patches.astype(np.float32)


def settle(model: Any, images: NDArray[np.float32]) -> None:
    """Give a network what training gives: factors, offsets and averages of batch normalization, and answers that differ.

    A new network's averages are 0 and 1, with which nothing could go wrong, and it gives every image the same answer.
    """
    rng = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, load_keras().layers.BatchNormalization):
            layer.momentum = 0.0  # One batch settles it.
            for variable, low, high in ((layer.gamma, 0.5, 1.5), (layer.beta, -0.5, 0.5)):
                if variable is not None:
                    variable.assign(rng.uniform(low, high, variable.shape).astype(np.float32))
    model(images, training=True)
    last = next(layer for layer in reversed(model.layers) if layer.weights)
    read = np.asarray(load_keras().Model(model.inputs[0], last.input)(images))
    kernel, bias = last.get_weights()
    made = read.reshape(len(read), -1) @ kernel.reshape(-1, kernel.shape[-1])
    # More than this would show the rounding of a random network, whose images differ little at its end.
    factors = _LOGITS / made.std(axis=0)
    last.set_weights([kernel * factors, bias - (made * factors).mean(axis=0)])


def _compared(name: str, model: Any, folder: Path) -> list[Claim]:
    source = KerasSource(model, tuple(model.input_shape[1:]), "float32", "probabilities")
    images = _mnist() if source.shape == _SMALL else images_of(source.shape)
    seconds: dict[str, list[float]] = {OWN_ONNX_CONVERTER: [], TF2ONNX: []}
    data = {}
    for _ in range(_TURNS):
        for converter in (OWN_ONNX_CONVERTER, TF2ONNX):
            begin = time.perf_counter()
            data[converter] = of_one_image(converted(source, converter).data)
            seconds[converter].append(time.perf_counter() - begin)
    own, other = (folder / f"{name}-{converter}.onnx" for converter in data)
    sizes, operators = [], []
    for path, content in zip((own, other), data.values(), strict=True):
        path.write_bytes(content)
        sizes.append(len(content))
        operators.append(_operators(content))
    times = [median(found) for found in seconds.values()]
    return [
        at_most(
            f"{name}: largest difference from Keras",
            _difference(model, images, own),
            _SAME,
            f"probabilities of {len(images):,} images",
        ),
        at_most(f"{name}: size / tf2onnx's", sizes[0] / sizes[1], 1, f"{sizes[0]:,} and {sizes[1]:,} bytes"),
        at_most(f"{name}: operators / tf2onnx's", operators[0] / operators[1], 1, f"{operators[0]} and {operators[1]}"),
        _time(name, own, other),
        at_most(
            f"{name}: time to convert / tf2onnx's",
            times[0] / times[1],
            0.5,
            f"{times[0]:.2f} and {times[1]:.2f} s; medians of {_TURNS} turns",
        ),
    ]


def _operators(data: bytes) -> int:
    import onnx  # noqa: PLC0415 - Heavy.

    return len(onnx.load_from_string(data).graph.node)


def _mnist() -> NDArray[np.float32]:
    """Return MNIST's 10,000 test images, from 0 to 255 as `images_of` gives others."""
    test = ec.load_dataset("mnist").test
    return test.images(range(len(test.labels))).astype(np.float32)


def _difference(model: Any, images: NDArray[np.float32], path: Path) -> float:
    runtime = opener_for("onnx").open_model(path.read_bytes(), 1)
    outputs = np.concatenate([runtime.run(image[None]) for image in images])
    return float(np.abs(outputs - model.predict(images, verbose=0)).max())


def _time(name: str, own: Path, other: Path) -> Claim:
    report = ec.bench([other, own], limits={"max_drop_points": None}, allow=("noise",))
    theirs, ours = (typical_ns(file.launches) for file in report.files)
    said = f"{ours / 1e3:,.1f} and {theirs / 1e3:,.1f} µs, in one run of edgecnn bench"
    return at_most(f"{name}: time of an image / tf2onnx's", ours / theirs, 1.02, said)
