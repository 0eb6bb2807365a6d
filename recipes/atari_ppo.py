"""SAM on an Atari game, PPO with the convolutional network of Mnih et al. times `width`, with Adam.

Claim:   with SAM, wider networks gain more over Adam: in the paper 28 points of score at 0.4M
         parameters (width 0.5), 122 at 6.7M (width 2). It does not say of which games.
Cost:    needs `pip install 'keras_sam[rl]'` (ale-py, with its ROMs). Ten million steps: for a GPU
         and several cores, which the games run on.
Command: python -m recipes.atari_ppo --game breakout --width 1 --rho 0.01 --seed 0
"""

from typing import Any

from recipes.reinforcement.settings import options
from recipes.running import command_line
from recipes.running.config import RunConfig
from recipes.running.metric import Metric
from recipes.running.recipe import Paper, Recipe
from recipes.running.runtime import Runtime


def training(config: RunConfig, runtime: Runtime) -> Any:
    from recipes.reinforcement.atari import Atari
    from recipes.reinforcement.ppo import PPO

    return PPO(config, runtime, Atari, clip_rewards=True)


def network(config: RunConfig, data: Any) -> Any:
    from recipes.networks import nature_cnn

    return nature_cnn(
        config.width, actions=data.actions, input_shape=data.input_shape, seed=config.seed
    )


def loss() -> Any:
    from recipes.reinforcement.loss import PPOLoss

    return PPOLoss(clip=0.1)


RECIPE = Recipe(
    name="atari_ppo",
    title="Atari, convolutional network, PPO",
    training=training,
    network=network,
    loss=loss,
    metric=Metric("return", percent=False),
    metrics=lambda: [],
    options=options(games=8, evaluation_games=16, evaluate_every=500, fresh_every=100),
    defaults={
        "epochs": 9_766,
        "batch_size": 256,
        "optimizer": "adam",
        "learning_rate": 2.5e-4,
        "weight_decay": 0.0,
        "schedule": "cosine",
    },
    quick={
        **{"width": 0.5, "epochs": 3, "games": 4, "steps": 32, "batch_size": 64},
        **{"evaluation_games": 2, "evaluate_every": 3},
    },
    widths=(0.5, 1, 1.5, 2),
    rhos=(0.003, 0.01, 0.03, 0.1),
    paper=Paper(
        widths=(0.5, 1, 1.5, 2),
        parameters=(0.4e6, 1.7e6, 3.8e6, 6.7e6),
        gains=(28, 18, 164, 122),
        error=5.0,
    ),
)

if __name__ == "__main__":
    command_line.main(RECIPE, __doc__)
