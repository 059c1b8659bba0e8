"""`edgecnn evaluate`."""

from benchmarks.evaluation import Evaluation, Evaluations
from benchmarks.evaluation import evaluate as evaluate_file
from commands.models import load, unverified
from commands.options import ImageOptions, InterfaceOptions, Json, ModelOptions, ModelTarget, Threads
from commands.progress import counted
from commands.targets import opened
from convert.own_images import order_note, split_note, test_images, test_record
from edge.classifier import Classifier
from edge.console import check_writable, emit, json_file, say
from edge.splits import Split


def evaluate(
    target: ModelTarget,
    images: ImageOptions,
    takes: InterfaceOptions,
    model: ModelOptions,
    threads: Threads = 1,
    json: Json = None,
) -> None:
    """Print accuracy and loss on the test images: of one file, or of each in a folder or bundle."""
    check_writable(json_file(json))
    with opened(target, images.data) as where:
        files, skipped = where.files()
        results, texts = [], []
        for file in files:
            name = where.name_of(file)
            say(f"{name}: loading")
            classifier = load(file, threads, model, takes, images)
            test = test_images(file, classifier, where.data, images.folder())
            record = test_record(classifier, images.data, test, images.folder())
            with counted("classifying") as on_progress:
                result = evaluate_file(name, classifier, test, record, on_progress)
            results.append(result)
            texts.append(_evaluated_text(result, classifier, test, images) + unverified(classifier))
        texts += [f"{name} was not run: {reason}" for name, reason in skipped.items()]
        if not where.in_folder:
            emit(texts[0], results[0], json)
            return
    emit("\n".join(texts), Evaluations(tuple(results), skipped), json)


def _evaluated_text(result: Evaluation, classifier: Classifier, test: Split, images: ImageOptions) -> str:
    text = (
        f"{result.file}: accuracy {result.accuracy:.4f} ({result.correct:,} of {result.images:,} test images), "
        f"loss {result.loss:.4f}, {result.runtime}"
    )
    if classifier.manifest and test.sha256 != classifier.manifest.dataset.test_sha256:
        text += f"\nnot the model's own test images ({classifier.manifest.dataset.name}), but those of {images.data}"
    if images.data:
        notes = [*split_note(result.dataset), *order_note(classifier, images.data, images.folder())]
        text += "".join(f"\n{note}" for note in notes)
    return text
