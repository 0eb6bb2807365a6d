"""SAM on part-of-speech tags, a pre-norm Transformer of dimension `width`, with AdamW.

Claim:   with SAM, wider networks gain more over AdamW: in the paper -0.10 points of accuracy at
         5.5M parameters (dimension 128), 1.15 points at 51.3M (dimension 640).
Cost:    `--data brown`: the Brown corpus, prepared arrays in --data-dir; `--data ud`: Universal
         Dependencies through tensorflow-datasets. The paper's sizes are for a GPU; --quick,
         a minute of one CPU core and 86 % right.
Command: python -m recipes.tagging_transformer --width 128 --rho 0.05 --seed 0
"""

from typing import Any

from recipes.running import command_line
from recipes.running.config import RunConfig
from recipes.running.recipe import Option, Paper, Recipe


def data(config: RunConfig) -> Any:
    from recipes.datasets.tagging import brown, universal_dependencies

    vocabulary = config.options["vocabulary"]
    if config.options["data"] == "ud":
        return universal_dependencies(config.split, vocabulary=vocabulary)
    return brown(config.split, vocabulary=vocabulary, universal=config.options["universal"])


def network(config: RunConfig, data: Any) -> Any:
    from recipes.networks import transformer_tagger
    from recipes.networks.width import whole

    return transformer_tagger(
        whole(config.width, heads=config.options["heads"]),
        vocabulary=data.vocabulary,
        tags=data.classes,
        depth=config.options["depth"],
        heads=config.options["heads"],
        max_length=data.input_shape[0],
        dropout=config.options["dropout"],
        seed=config.seed,
    )


def loss() -> Any:
    import keras
    from keras import ops

    class TokenCrossentropy(keras.losses.Loss):
        """Of each word; what is no word has the label -1, and the weight 0 in the data."""

        def call(self, tags: Any, logits: Any) -> Any:
            tags = ops.maximum(tags, 0)
            return ops.sparse_categorical_crossentropy(tags, logits, from_logits=True)

    return TokenCrossentropy()


def metrics() -> Any:
    import keras
    from keras import ops

    class TokenAccuracy(keras.metrics.Mean):
        """The share of right tags among the words."""

        def update_state(self, tags: Any, logits: Any, sample_weight: Any = None) -> Any:
            right = ops.equal(ops.cast(ops.argmax(logits, -1), tags.dtype), tags)
            return super().update_state(ops.cast(right, "float32"), ops.cast(tags >= 0, "float32"))

    return [TokenAccuracy(name="accuracy")]


RECIPE = Recipe(
    name="tagging_transformer",
    title="part-of-speech tags, Transformer",
    data=data,
    network=network,
    loss=loss,
    metrics=metrics,
    options={
        "data": Option("brown", "where sentences come from", ("brown", "ud")),
        "universal": Option(False, "learn brown's 12 universal tags, not its 109"),
        "vocabulary": Option(33_951, "most frequent words, padding and unknown included"),
        "depth": Option(6, "number of blocks"),
        "heads": Option(8, "attention heads"),
        "dropout": Option(0.3, "share of units that training drops"),
    },
    defaults={
        "width": 128,
        "validation_split": 0.09,
        "epochs": 20,
        "batch_size": 64,
        "optimizer": "adamw",
        "learning_rate": 5e-4,
        "weight_decay": 0.1,
        "schedule": "cosine",
        "warmup_steps": 1000,
    },
    # At the rate and the dropout of a full run so few steps show nothing.
    quick={
        **{"width": 32, "depth": 2, "vocabulary": 10_000, "dropout": 0.1, "take": 10_000},
        **{"epochs": 4, "batch_size": 32, "learning_rate": 4e-3, "warmup_steps": 100},
    },
    widths=(128, 256, 384, 512, 640),
    paper=Paper(
        widths=(128, 256, 384, 512, 640),
        parameters=(5.5e6, 13.5e6, 23.7e6, 36.3e6, 51.3e6),
        gains=(-0.10, 0.65, 0.83, 1.06, 1.15),
    ),
)

if __name__ == "__main__":
    command_line.main(RECIPE, __doc__)
