"""SAM on MinAtar's games, PPO with a small convolutional network of width `width`, with Adam.

Claim:   with SAM, wider networks gain more over Adam: in the paper, on Atari, 28 points of score at
         0.4M parameters, 122 at 6.7M (see `recipes.atari_ppo`). These games are a small stand-in.
Cost:    needs `pip install 'keras_sam[rl]'` (gymnax, on JAX); no download. 164,000 steps take a
         minute on one CPU core, and a network learns in them.
Command: python -m recipes.minatar_ppo --width 1 --rho 0.01 --seed 0
"""

from typing import Any

from recipes.reinforcement.settings import options
from recipes.running import command_line
from recipes.running.config import RunConfig
from recipes.running.metric import Metric
from recipes.running.recipe import Recipe
from recipes.running.runtime import Runtime


def training(config: RunConfig, runtime: Runtime) -> Any:
    from recipes.reinforcement.minatar import MinAtar
    from recipes.reinforcement.ppo import PPO

    return PPO(config, runtime, MinAtar)


def network(config: RunConfig, data: Any) -> Any:
    from recipes.networks import minatar_cnn

    return minatar_cnn(
        config.width, actions=data.actions, input_shape=data.input_shape, seed=config.seed
    )


def loss() -> Any:
    from recipes.reinforcement.loss import PPOLoss

    return PPOLoss()


RECIPE = Recipe(
    name="minatar_ppo",
    title="MinAtar, convolutional network, PPO",
    training=training,
    network=network,
    loss=loss,
    metric=Metric("return", percent=False),
    metrics=lambda: [],
    options=options(),
    defaults={
        "epochs": 40,
        "batch_size": 256,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "schedule": "cosine",
    },
    quick={"epochs": 6, "evaluate_every": 3},
    widths=(0.25, 0.5, 1, 2),
    rhos=(0.003, 0.01, 0.03, 0.1),
)

if __name__ == "__main__":
    command_line.main(RECIPE, __doc__)
