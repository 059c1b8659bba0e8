"""What train, diagnose and tune found, as text and pictures."""

from collections.abc import Callable
from pathlib import Path

from edgecnn.convert.diagnose import Diagnosis, LayerError
from edgecnn.convert.training.records import TrainResult
from edgecnn.edge.data.pixel_digests import learnt_note
from edgecnn.edge.errors import setting
from edgecnn.edge.export_records import NOT_SHOWN, Tuned
from edgecnn.edge.show.pictures import png_figure
from edgecnn.edge.show.table import TextTable, table_text
from edgecnn.edge.text import WIDTH, counted, paragraph, paragraphs

_MOST = 20


def diagnosis_text(diagnosis: Diagnosis, width: int = WIDTH) -> str:
    """Return a table of the worst layers."""
    layers = diagnosis.layers[:_MOST]
    columns: dict[str, Callable[[LayerError], str]] = {
        "layer": lambda layer: layer.label,
        "operator": lambda layer: layer.operator,
        "lost here": lambda layer: f"{layer.introduced:.2%}",
        "SNR dB": lambda layer: f"{layer.snr_db:.1f}",
        "input dB": lambda layer: f"{layer.input_snr_db:.1f}",
        "largest diff.": lambda layer: f"{layer.largest_difference:.3g}",
        "saturated": lambda layer: f"{layer.saturated:.2%}",
    }
    return "\n".join(
        [
            paragraph(
                f"{diagnosis.quantized} against {diagnosis.float32}, {counted(diagnosis.images, 'image')}, worst layer first",
                width,
            ),
            table_text(TextTable.of(layers, columns, less=("operator", "largest diff.", "input dB"), align="<<"), width),
            "",
            *paragraphs(_notes(diagnosis), width, "  "),
        ]
    )


def _notes(diagnosis: Diagnosis) -> list[str]:
    more = len(diagnosis.layers) - _MOST
    notes = [f"Layers not shown, which lose less: {more}."] if more > 0 else []
    if diagnosis.trained:
        notes.append(
            f"{diagnosis.quantized} was trained for integers, and {diagnosis.float32} was not: a layer that differs may have "
            "learnt something else, and need not lose accuracy."
        )
    if diagnosis.float_layers:
        notes.append(f"Layers that stay float in the quantized file: {diagnosis.float_layers}.")
    if diagnosis.unmatched:
        notes.append(f"Operators without a counterpart in the quantized file, which fuses some: {diagnosis.unmatched}.")
    return [
        *notes,
        "lost here: share of the signal that this layer loses beyond what its worst input lost, mean over the channels.",
        "SNR dB: signal-to-noise ratio of the layer's output, mean over the channels. input dB: that of its worst input.",
        "saturated: share of the float values outside the range of the layer's integers.",
    ]


_OVERFITTED = 0.1  # Accuracy on the training images above that on the validation images.
_FALLS, _TELLS = 0.05, 0.8  # The loss fell by this share since this share of the run.
_LEAST_EPOCHS = 3  # Before, what differs may be batch normalisation's averages, which have hardly begun.
_BY_HEART = 10  # Epochs: of fewer, a picture is hardly learned by heart.
_OF_BACKBONES = 32  # Smallest height and width that mobilenetv2 takes.
_GOOD = 0.99
_SURE = 2  # Standard deviations.


def advice(trained: TrainResult) -> list[str]:  # Longer than 50 lines: one case after the other.
    """Return what is wrong with how a model learnt, and what to type: at most one line."""
    kept, epochs = trained.history[trained.epoch - 1], len(trained.history)
    longer = f"the same again with {setting('epochs', 2 * trained.config.epochs)}"
    if (guess := trained.commonest) is not None:
        spread = _SURE * (guess * (1 - guess) / trained.test_images) ** 0.5
        # Of uneven classes, the rare ones tell: a model may know them, and be right as often as who ignores them.
        tells = trained.recall is None or trained.guessed is None or trained.recall <= trained.guessed
        if tells and trained.test_accuracy <= guess + spread:
            learnt = trained.history[-1].accuracy > guess + spread + _OVERFITTED
            if trained.test_accuracy > guess + _OVERFITTED:
                return [
                    f"Too few test images: {trained.test_accuracy:.2%} of {counted(trained.test_images, 'test image')} are "
                    f"right: it is {NOT_SHOWN}, which is right on {guess:.2%}. Add some"
                ]
            fix = f"then try {longer} and {setting('learning_rate', f'{trained.config.learning_rate / 10:g}')}"
            if learnt and epochs < _BY_HEART:
                fix = f"then try {longer}: it was right on {trained.history[-1].accuracy:.1%} of the training images"
            elif learnt:  # Of those, a slower training would learn as much by heart.
                fix = (
                    f"for the last epoch was right on {trained.history[-1].accuracy:.1%} of the training images, which it "
                    f"learned by heart. More pictures help most; {_against_overfitting(trained)}"
                )
            return [
                f"At chance: {trained.test_accuracy:.2%} of the test images are right, and always answering the most frequent "
                f"class is right on {guess:.2%}. Look at the images (edgecnn data {trained.dataset.source} --save sheet.png), "
                + fix
            ]
    last, tested = trained.history[-1], trained.test_accuracy
    by_luck = _SURE * (tested * (1 - tested) / trained.test_images) ** 0.5
    ends = [
        (kept, kept.val_accuracy, "validation", _OVERFITTED),
        (last, last.val_accuracy, "validation", _OVERFITTED),
        (kept, tested, "test", _OVERFITTED + by_luck),
    ]
    for epoch, right, kind, most in ends:
        if right is not None and epochs >= _LEAST_EPOCHS and epoch.accuracy - right > most:
            if kind == "test" and kept.val_accuracy is not None:
                return [
                    f"The test images differ from the others: right on {kept.val_accuracy:.1%} of the validation images and "
                    f"{right:.1%} of the test images. Look at both (edgecnn data {trained.dataset.source})"
                ]
            when = "Overfitted:" if epoch is kept else f"Overfitted after epoch {kept.number}: epoch {epoch.number} was"
            return [
                f"{when} right on {epoch.accuracy:.1%} of the training images and {right:.1%} of the {kind} images. More "
                f"pictures help most; {_against_overfitting(trained)}"
            ]
    if kept.val_accuracy is None or kept.val_loss is None:
        return []
    earlier = trained.history[int(_TELLS * epochs) - 1].val_loss if epochs > 1 else None
    unfinished = trained.epoch == epochs and trained.complete and kept.val_accuracy < _GOOD
    if unfinished and earlier and kept.val_loss < (1 - _FALLS) * earlier:
        return [f"Still falling: the validation loss was lowest in the last epoch. More epochs may help: {longer}"]
    return []


def _against_overfitting(trained: TrainResult) -> str:
    config, ways = trained.config, []
    if config.variation == "none":
        ways.append(f"vary them ({setting('augment', 'photo')}, or digit for drawings)")
    if config.variation == "photo":
        ways.append(f"add {setting('augment', 'photo-mirror')}, if a mirror image shows the same class")
    if not config.learnt_before and (fitted := trained.dataset.fitted):  # Arrays can't be fitted to what it takes.
        height, width, channels = fitted.shape
        needed = [setting("transfer", "mobilenetv2-0.35")]
        needed += [setting("size", "96x96")] if min(height, width) < _OF_BACKBONES else []
        needed += [setting("channels", 3)] if channels == 1 else []
        ways.append(f"start from a trained network ({' '.join(needed)})")
    if config.fine_tune:
        ways.append(f"train its last layer alone ({setting('fine_tune', False)})")
    return f"without more, {', or '.join(ways)}" if ways else "without more, train for fewer epochs"


def trained_text(trained: TrainResult, width: int = WIDTH) -> str:
    """Return how it went, and what to do next."""
    lines = [
        f"{trained.path}: accuracy {trained.test_accuracy:.4f}, loss {trained.test_loss:.4f} on "
        f"{counted(trained.test_images, trained.dataset.kind)}",
        *learnt_note(trained.dataset, trained.test_images),
        f"{counted(trained.parameters, 'parameter')} ({trained.trainable_parameters:,} trainable), "
        f"{counted(trained.history, 'epoch')} in {trained.seconds:.0f} s, seed {trained.config.seed}",
        f"Kept: {trained.kept()}",
        *advice(trained),
        f"Curves: tensorboard --logdir {trained.folder / trained.log_folder.partition('/')[0]}",
        f"Next: edgecnn export {trained.path}",
    ]
    return "\n".join(paragraphs(lines, width, "  "))


_LONGEST = 40


def save_diagnosis(path: Path, diagnosis: Diagnosis, title: str) -> None:
    """Draw the worst layers into a .png file: how much of the signal each loses, and how much its input had lost.

    Raises:
        ConfigError: If the file can't be written.
        MissingDependency: If matplotlib is not installed.
    """
    layers = diagnosis.layers[:_MOST]
    places = range(len(layers))
    with png_figure(path, 9, 1.5 + 0.32 * len(layers)) as figure:
        axes = figure.add_subplot(xlabel="share of the signal lost (%), mean over the channels")
        before = [100 * layer.input_lost for layer in layers]
        here = [100 * layer.introduced for layer in layers]
        axes.barh(places, before, color="#bbbbbb", label="lost before, in the worst of its inputs")
        axes.barh(places, here, left=before, color="#c2410c", label="lost by this layer")
        axes.set_yticks(places, [f"{_short(layer.label)}  {layer.operator}" for layer in layers], fontsize=9)
        axes.invert_yaxis()
        axes.set_xlim(0, None)  # A good file loses so little that 0 to 100 would show nothing.
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(title, loc="left", fontsize=11)
        figure.legend(loc="outside lower right", ncols=2, frameon=False, fontsize=9)


def _short(name: str) -> str:
    """Return the end of a layer's long name, from a `/` on if there is one."""
    end = name[1 - _LONGEST :]
    return name if len(name) <= _LONGEST else f"…{end[max(0, end.find('/')) :]}"


_PASSES, _LOSES, _LINE = "#c2410c", "#6b7280", "#e5e7eb"


def save_tried(path: Path, tuned: Tuned, name: str) -> None:
    """Draw what each judged placement of the file `name` costs and loses into a .png file; the front is joined and has numbers.

    Errors are those of `save_diagnosis`.
    """
    front = [one for place, one in enumerate(tuned.tried) if _on_front(one.drop_points, place, tuned)]
    with png_figure(path, 7.5, 4.6) as figure:
        axes = figure.add_subplot(
            xlabel=f"{tuned.unit} of one image, divided by the all-int8 file's", ylabel="accuracy lost (points)"
        )
        axes.plot([one.cost for one in front], [one.drop_points for one in front], color=_PASSES, linewidth=1, alpha=0.6)
        for one in tuned.tried:
            color = _PASSES if one.passes else _LOSES
            axes.scatter(one.cost, one.drop_points, 55, facecolor=color if one.passes else "white", edgecolor=color, zorder=3)
            if one in front or not one.in_float:  # Choices that cost nearly the same would cover each other's numbers.
                axes.annotate(f" {one.in_float}", (one.cost, one.drop_points), fontsize=8, va="bottom")
        axes.margins(0.12)
        axes.grid(color=_LINE, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        title = f"{name} on {tuned.where}\nnumbers: operators in float; filled: within the limit; the search's measurements"
        if tuned.folded:
            title += "\nint8 convolutions compute several columns at a time, where that is faster"
        axes.set_title(title, loc="left", fontsize=10)


def _on_front(drop: float, place: int, tuned: Tuned) -> bool:
    """Return whether nothing cheaper loses as little: what was tried is in order of cost."""
    return all(other.drop_points > drop for other in tuned.tried[:place])
