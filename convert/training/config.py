"""The settings of a training run."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from edgecnn.convert.training.model.backbones import BACKBONES, Backbone
from edgecnn.convert.training.model.cnn import FILTERS
from edgecnn.convert.training.model.networks import CNN, NETWORKS, NetworkName
from edgecnn.convert.training.recipes import COSINE, RECIPES, Augment, RecipeName
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.folder.other_formats import fix_for
from edgecnn.edge.formats import format_of, is_exported

Keep = Literal["best", "last"]
ClassWeights = Literal["none", "balanced"]
_OF_OWN_NETWORKS = ("dropout", "network", "filters")
# Settings that change nothing at these values are not listed.
_PLAIN = {"network": CNN, "keep": "best", "class_weights": "none", "workers": 1, "augment": "none", "arguments": ""}
_ARGUMENT = re.compile(r"([a-zA-Z_]\w*)=.+")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run, apart from the images and how the model takes them.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images in one step.
        augment: How training images are varied. `photo`: crop, mirror image, colours; `digit`: rotated, scaled and shifted a
            little; `none`: not at all. None for the recipe's way, which `resolved` fills in. Earlier releases wrote true for
            `digit` and false for `none`, which are still read.
        learning_rate: Peak learning rate of the recipe; a compiled custom model keeps its own optimizer and learning rate.
        dropout: Share of features dropped before the last layer of edgecnn's own network, 0 to 1 (exclusive); None for the
            recipe's in the cnn and 0 in the smaller networks; `edgecnn.convert.training.model.custom_model.resolved` fills in.
        network: Name of edgecnn's own network: cnn, strided or separable.
        filters: Number of filters in each of its three stages.
        seed: Seed of the weights, the order of the images and the dropout, from 0.
        model: `module:function` or a .keras file; None for edgecnn's own network.
        arguments: Keyword arguments of `module:function`, each as `name=value`; a value is a number, true, false or a word.
        transfer: A .keras file whose last layer is replaced, or a name in
            `edgecnn.convert.training.model.backbones.BACKBONES`; None to start from random weights.
        weights: An .h5 file of a named backbone's weights, saved with include_top=False; None for those of ImageNet in Keras's
            folder.
        fine_tune: Whether to train all of the transferred model after its new last layer, as
            `edgecnn.convert.training.phases.phases_of` says; None for a named backbone only, which `resolved` fills in.
        teacher: A model file whose answers are learnt in addition to the labels; None for the labels alone.
        source_sha256: Hash of the file that `model`, `transfer` or `weights` names, or of the module's source and of what it
            imports from its folder; `resolved` fills it in.
        teacher_sha256: Hash of the file that `teacher` names; `resolved` fills in.
        workers: Processes that share each batch.
        keep: `best` keeps the epoch with the lowest validation loss or, without validation images, the last one (after an
            interruption the one with the lowest training loss); `last` always keeps the last one.
        patience: Number of epochs without a lower validation loss after which training stops; None to train all epochs. It
            needs validation images.
        class_weights: `balanced` gives the images of each class a weight in the training loss, so that all classes count the
            same; `none` counts images.

    Raises:
        ConfigError: If a setting is out of range, or two exclude each other.
    """

    epochs: int = 5
    recipe: RecipeName = COSINE
    batch_size: int = RECIPES[COSINE].batch_size
    augment: Augment | bool | None = None
    learning_rate: float = 0.01
    dropout: float | None = None
    network: NetworkName = CNN
    filters: tuple[int, ...] = FILTERS
    seed: int = 0
    model: str | None = None
    transfer: str | None = None
    weights: str | None = None
    fine_tune: bool | None = None
    teacher: str | None = None
    source_sha256: str | None = None
    teacher_sha256: str | None = None
    workers: int = 1
    keep: Keep = "best"
    patience: int | None = None
    class_weights: ClassWeights = "none"
    arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.augment, bool):
            object.__setattr__(self, "augment", "digit" if self.augment else "none")
        object.__setattr__(self, "filters", tuple(self.filters))  # A list would differ from the record of the same.
        for name, good, allowed in (
            ("recipe", self.recipe in RECIPES, " or ".join(RECIPES)),
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("batch_size", self.batch_size >= self.workers, f"at least 1 for each of {self.workers} workers"),
            ("augment", self.augment in (None, *get_args(Augment)), "photo, digit or none"),
            ("learning_rate", 0 < self.learning_rate < float("inf"), "more than 0"),
            ("dropout", self.dropout is None or 0 <= self.dropout < 1, "0 or more and less than 1"),
            ("network", self.network in NETWORKS, f"{' or '.join(NETWORKS)} (your own function is a {field('model')})"),
            ("filters", len(self.filters) == 3 and min(self.filters) >= 1, "three numbers of at least 1, for example 8,16,32"),
            ("seed", 0 <= self.seed < 2**32, "0 to 4294967295"),
            ("keep", self.keep in get_args(Keep), "best or last"),
            ("patience", self.patience is None or self.patience >= 1, "at least 1"),
            ("class_weights", self.class_weights in get_args(ClassWeights), "balanced or none"),
        ):
            if not good:
                got = getattr(self, name)
                text = ",".join(map(str, got)) if isinstance(got, tuple) else got
                raise ConfigError(f"{field(name)} must be {allowed}, got {text}")
        self._check_model()

    def _check_model(self) -> None:
        """Check that what names the model to train, or applies to one kind of model, fits together."""
        if self.model and self.transfer:
            raise ConfigError(f"{field('model')} and {field('transfer')} both name a starting model: give one of them")
        if self.transfer and self.backbone is None and is_exported(format_of(Path(self.transfer))):
            fix = fix_for(Path(self.transfer), f"name one, or {', '.join(BACKBONES)}")
            raise ConfigError(f"{field('transfer')}={self.transfer} is not a .keras file: {fix}")
        if self.weights and self.backbone is None:
            raise ConfigError(
                f"{field('weights')} belong to a network that {field('transfer')} names ({', '.join(BACKBONES)}): omit it"
            )
        for name in _OF_OWN_NETWORKS:
            if (self.model or self.transfer) and getattr(self, name) != getattr(TrainConfig, name):
                raise ConfigError(
                    f"{field(name)} applies to edgecnn's own networks, not to {self.model or self.transfer}: omit it"
                )
        if self.fine_tune and not self.transfer:
            raise ConfigError(
                f"{field('fine_tune')} applies to a transferred model: name one with {field('transfer')}, or omit it"
            )
        names = [found[1] if (found := _ARGUMENT.fullmatch(text)) else None for text in self.arguments]
        for argument, key in zip(self.arguments, names, strict=True):
            if key is None or names.count(key) > 1:
                raise ConfigError(
                    f"{field('arguments')} must be name=value, each name once, for example width=16, got {argument}"
                )
        if self.arguments and ":" not in (self.model or ""):
            origin = self.origin()
            raise ConfigError(f"{field('arguments')} applies to {field('model')}=module:function, not to {origin}: omit it")

    @classmethod
    def of_recipe(cls, recipe: str, **settings: Any) -> "TrainConfig":
        """Return settings with a recipe's batch size, unless it is among `settings`.

        Args:
            recipe: Its name.
            settings: Other fields; None leaves a field to the recipe.

        Raises:
            ConfigError: If there is no such recipe, or as in the class.
        """
        row = next((row for name, row in RECIPES.items() if name == recipe), None)
        if row is None:
            raise ConfigError(f"{field('recipe')}={recipe} is unknown: use {' or '.join(RECIPES)}")
        given = {name: value for name, value in settings.items() if value is not None}
        return cls(**{"recipe": recipe, "batch_size": row.batch_size, **given})

    @property
    def variation(self) -> Augment:
        """How the images of a resolved run are varied."""
        if self.augment is None or isinstance(self.augment, bool):
            raise AssertionError("resolved() fills in the recipe's")
        return self.augment

    @property
    def backbone(self) -> Backbone | None:
        """The network of keras.applications that `transfer` names; None if it names a file, or nothing."""
        return BACKBONES.get(self.transfer or "")

    def own_dropout(self) -> float:
        """Return the dropout of edgecnn's own network."""
        # The smaller networks fit too little, not too much: docs/explanation/training.md has the measurement.
        usual = RECIPES[self.recipe].dropout if self.network == CNN else 0.0
        return usual if self.dropout is None else self.dropout

    def origin(self) -> str:
        """Return the origin of the model for messages."""
        return self.transfer or self.model or ("the CNN" if self.network == CNN else f"the {self.network} network")

    def settings(self) -> dict[str, str]:
        """Return the settings as text, without those that do not apply."""
        values = asdict(self) | {"filters": ",".join(map(str, self.filters)), "arguments": ",".join(self.arguments)}
        if self.model or self.transfer:
            values = {name: value for name, value in values.items() if name not in _OF_OWN_NETWORKS}
        values = {name: value for name, value in values.items() if value != _PLAIN.get(name)}
        return {name: str(value) for name, value in values.items() if value is not None and value is not False}
