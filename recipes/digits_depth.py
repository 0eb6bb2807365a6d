"""SAM on the 8x8 digits, a perceptron that grows in depth: `width` hidden layers of 64 units.

Claim:   in the paper SAM's gain does not grow where depth grows in place of width.
Cost:    no download; seconds on two CPU cores.
Command: python -m recipes.digits_depth --width 4 --rho 0.05 --seed 0
"""

from typing import Any

from recipes import digits
from recipes.running import command_line
from recipes.running.config import RunConfig
from recipes.running.recipe import Recipe

UNITS = 64


def network(config: RunConfig, data: Any) -> Any:
    import keras

    from recipes.networks.dense import dense, logits
    from recipes.networks.width import whole

    inputs = keras.Input(data.input_shape, name="inputs")
    x = keras.layers.Flatten(name="flatten")(inputs)
    for index in range(1, whole(config.width) + 1):
        x = dense(UNITS, f"hidden{index}", config.seed, activation="relu")(x)
    return keras.Model(inputs, logits(data.classes, config.seed)(x), name="deep_mlp")


RECIPE = Recipe(
    name="digits_depth",
    title="8x8 digits, perceptron by depth",
    data=digits.data,
    network=network,
    defaults=digits.RECIPE.defaults,
    quick=digits.RECIPE.quick,
    widths=(1, 2, 3, 4, 6, 8),
    rhos=digits.RECIPE.rhos,
)

if __name__ == "__main__":
    command_line.main(RECIPE, __doc__)
