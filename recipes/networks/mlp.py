"""The paper's 3-layer perceptron for MNIST, scaled in width."""

from __future__ import annotations

import math

import keras

from recipes.networks.dense import dense, logits


def mlp(
    width: float = 1.0,
    input_shape: tuple[int, ...] = (28, 28, 1),
    classes: int = 10,
    seed: int = 0,
) -> keras.Model:
    """Builds a perceptron with two hidden layers of round(300 width) and round(100 width) units.

        x -> ReLU(W1 x + b1) -> ReLU(W2 . + b2) -> W3 . + b3

    Parameters for 28x28 inputs and 10 classes:

    | width | 0.25 | 0.5 | 1 | 4 | 10 |
    |---|---|---|---|---|---|
    | parameters | 61,035 | 125,810 | 266,610 | 1,426,410 | 5,366,010 |

    Args:
        width: factor on the hidden layers, a finite number large enough for one unit in each.
        input_shape: shape of one example; it is flattened.
        classes: number of outputs.
        seed: fixes every initial weight, an integer >= 0.

    Returns:
        A functional `keras.Model` from (batch, *input_shape) to logits (batch, classes). Its layers
        are named "hidden1", "hidden2" and "logits".

    Raises:
        ValueError: `width` gives no hidden unit; `seed` is no integer >= 0.

    Example:

    ```python
    model = mlp(width=0.25)
    assert model.count_params() == 61_035
    ```

    Reference: arXiv 2311.17539, the MNIST workload of the study of scale.
    """
    if not math.isfinite(width) or round(100 * width) < 1:
        raise ValueError(
            "`width` must be a finite number that leaves at least one unit in a hidden layer of "
            f"round(100 * width). Received: `width={width!r}`"
        )
    inputs = keras.Input(input_shape, name="inputs")
    x = keras.layers.Flatten(name="flatten")(inputs)
    for index, units in enumerate((300, 100), start=1):
        x = dense(round(units * width), f"hidden{index}", seed, activation="relu")(x)
    return keras.Model(inputs, logits(classes, seed)(x), name="mlp")
