"""SAM on molecules, a graph convolutional network of latent dimension `width`, with Adam.

Claim:   with SAM, wider networks gain more over Adam: in the paper (ogbg-molpcba) -0.13 points of
         mean average precision at 0.2M parameters (128), 0.47 points at 2.7M (512).
Cost:    `--data molecules`, 18k molecules: prepared arrays in --data-dir; an epoch at 128 takes
         half a minute on one CPU core, with SAM a minute. `--data molpcba`, 438k molecules, through
         tensorflow-datasets, for a GPU. `mutag` and `proteins` are for quick tests.
Command: python -m recipes.molecules_gcn --width 128 --rho 0.01 --seed 0
"""

from typing import Any

from recipes.running import command_line
from recipes.running.config import RunConfig
from recipes.running.metric import Metric
from recipes.running.recipe import Option, Paper, Recipe


def data(config: RunConfig) -> Any:
    from recipes.datasets import graph_benchmarks, molecules

    match config.options["data"]:
        case "molecules":
            return molecules.molecules(config.split, scaffolds=config.options["scaffolds"])
        case "molpcba":
            return molecules.molpcba(config.split)
        case name:
            return getattr(graph_benchmarks, name)(config.split)


def network(config: RunConfig, data: Any) -> Any:
    from recipes.networks import graph_convolution
    from recipes.networks.width import whole

    return graph_convolution(
        whole(config.width),
        features=data.features,
        outputs=data.tasks,
        dropout=config.options["dropout"],
        seed=config.seed,
    )


def loss() -> Any:
    import keras
    from keras import ops

    class TaskCrossentropy(keras.losses.Loss):
        """Of each task; labels that are not known have the weight 0 in the data."""

        def call(self, labels: Any, logits: Any) -> Any:
            return ops.binary_crossentropy(labels, logits, from_logits=True)

    return TaskCrossentropy()


def evaluate(model: Any, dataset: Any, steps: int | None) -> dict[str, float]:
    """The loss, and the average precision, mean over the tasks in which both labels are known."""
    import itertools

    import keras
    import numpy as np
    from sklearn.metrics import average_precision_score

    logits = model.predict(dataset, steps=steps, verbose=0).astype(np.float64)
    parts = [batch[1:] for batch in itertools.islice(dataset, steps)]
    parts = keras.tree.map_structure(keras.ops.convert_to_numpy, parts)
    labels, weights = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    losses = np.logaddexp(0, logits) - labels * logits
    precisions = [
        average_precision_score(label[weight > 0], logit[weight > 0])
        for label, logit, weight in zip(labels.T, logits.T, weights.T, strict=True)
        if len(np.unique(label[weight > 0])) == 2
    ]
    precision = float(np.mean(precisions)) if precisions else float("nan")
    return {"loss": float((weights * losses).mean()), "mean_average_precision": precision}


RECIPE = Recipe(
    name="molecules_gcn",
    title="molecules, graph convolutional network",
    data=data,
    network=network,
    loss=loss,
    metric=Metric("mean_average_precision"),
    metrics=lambda: [],
    evaluate=evaluate,
    options={
        "data": Option(
            "molecules", "where graphs come from", ("molecules", "molpcba", "mutag", "proteins")
        ),
        "scaffolds": Option(True, "test molecules of other scaffolds than those of training"),
        "dropout": Option(0.1, "share of units that training drops"),
    },
    defaults={
        "width": 128,
        "epochs": 30,
        "batch_size": 64,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "schedule": "constant",
    },
    quick={"width": 32, "epochs": 4, "take": 6_000},
    widths=(128, 256, 512),
    rhos=(0.005, 0.01, 0.02, 0.05, 0.1),
    paper=Paper(
        widths=(128, 256, 512),
        parameters=(0.2e6, 0.7e6, 2.7e6),
        gains=(-0.13, 0.24, 0.47),
    ),
)

if __name__ == "__main__":
    command_line.main(RECIPE, __doc__)
