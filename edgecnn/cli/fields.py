"""Translates Python names in the library's errors into options."""

from edgecnn.edge.errors import EdgeCnnError

# Option of a field or argument, if it is not the same word.
OPTIONS = {
    "formats": "--format",
    "precision": "--quantize",
    "precisions": "--quantize",
    "targets": "--for",
    "wait_seconds": "--wait",
    "percents": "--percentile",
    "sustained_seconds": "--sustained",
    "tune_seconds": "--tune-limit",
    "until_width_percent": "--until-width",
    "max_slowdown_percent": "--max-slowdown",
    "max_drop_points": "--max-drop",
    "min_accuracy_percent": "--min-accuracy",
    "min_agreement_percent": "--min-agreement",
    "max_class_drop_points": "--max-class-drop",
    "reach_percent": "--reach",
    "networks": "--network",
    "arguments": "--set",
    "indices": "--index",
    "test_images": "--images",
    "interface": "--preprocess",
    "sheet": "--save",
}


def option(field: str) -> str:
    """Return the option for a field or argument of the library, for example `--batch-size` for `batch_size`."""
    return OPTIONS.get(field) or "--" + field.replace("_", "-")


def typed(error: EdgeCnnError) -> str:
    """Return an error's message with options in place of the library's names."""
    return error.text(option, " ")
