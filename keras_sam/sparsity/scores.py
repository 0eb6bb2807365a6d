"""Saliency scores: how much each weight matters. The highest are kept.

Every function here has the same signature, and so does a score of your own, which `prune` takes in
place of a name:

    score(model, weights, objective, rng) -> scores

    model: the plain `keras.Model`, built.
    weights: from `variable.path` to the weights to score, NumPy arrays; 0.0 where pruned already.
    objective: the loss on `prune`'s data, see `Objective`; `objective.gradient(weights)` and
        `objective.hessian_vector_product(weights, v)` are such dicts, too.
    rng: a `numpy.random.Generator`, made from `prune`'s seed.
    scores: a finite array of the weight's shape for each path.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_sam import backend
from keras_sam.backend import keras_internals
from keras_sam.selection import KERNEL_NAMES
from keras_sam.sparsity.objective import Objective, Weights

Scores = Mapping[str, Any]
ScoreFunction = Callable[[keras.Model, Weights, Objective, np.random.Generator], Scores]


def random(
    model: keras.Model, weights: Weights, objective: Objective, rng: np.random.Generator
) -> Scores:
    """Independent uniform numbers."""
    return {path: rng.random(w.shape, np.float32) for path, w in weights.items()}


def magnitude(
    model: keras.Model, weights: Weights, objective: Objective, rng: np.random.Generator
) -> Scores:
    """`|w|`.

    References:
        - Han et al. 2015, https://arxiv.org/abs/1506.02626, section 3
    """
    return {path: np.abs(w) for path, w in weights.items()}


def snip(
    model: keras.Model, weights: Weights, objective: Objective, rng: np.random.Generator
) -> Scores:
    """`|w * dL/dw|`, the effect on the loss of scaling each weight.

    With several batches, `dL/dw` is the mean over all their examples, so that how the examples are
    cut into batches makes no difference (but to batch statistics). The paper divides by the sum of
    the scores, which changes no ranking.

    References:
        - Lee et al. 2019, https://arxiv.org/abs/1810.02340, section 4.1 and algorithm 1
    """
    gradient = objective.gradient(weights)
    return {path: np.abs(w * gradient[path]) for path, w in weights.items()}


def grasp(
    model: keras.Model, weights: Weights, objective: Objective, rng: np.random.Generator
) -> Scores:
    """`w * (H g)` with `g = dL/dw`: how much the gradient's norm falls without the weight.

    The paper's score is the negative of this, and it removes the highest. `g` and H are those of
    the scored weights alone, as in the paper. Its authors' code divides the logits by 200 first;
    for that, pass such a `loss`.

    References:
        - Wang et al. 2020, https://arxiv.org/abs/2002.07376, algorithm 1
    """
    product = objective.hessian_vector_product(weights, objective.gradient(weights))
    return {path: w * product[path] for path, w in weights.items()}


def synflow(
    model: keras.Model, weights: Weights, objective: Objective, rng: np.random.Generator
) -> Scores:
    """`|w| * dR/d|w|` with `R = sum(f(1; |w|))`, the synaptic flow, which needs no data.

    f is the network with the absolute value of every weight, without the activations that layers
    apply, with BatchNormalization in inference mode; 1 is one example of ones. By itself the score
    collapses layers; `prune` recomputes it over 100 rounds, of exponentially falling density.

    A model that is not functional says nothing of the shape of its inputs: give `prune` a batch as
    `data`, of which nothing but the shape is used.

    R grows exponentially with depth, out of the range of float32 for a ResNet-50. Scores there are
    those of `2^-k R` at inputs `2^-k`, with k and so all scores scaled alike.

    Raises:
        ValueError: If the flow overflows, and is not proportional to its inputs.

    References:
        - Tanaka et al. 2020, https://arxiv.org/abs/2006.05467, algorithm 1
    """
    ones = _example_of_ones(model, objective)
    for exponent in (0, 25, 50, 75, 100):
        scale = 2.0**-exponent
        flow, gradient = _synaptic_flow(model, weights, ones, scale)
        if np.isfinite(flow) and all(np.isfinite(g).all() for g in gradient.values()):
            break
    # A power of two changes no digit, so a flow that is proportional to its inputs halves exactly.
    if not np.isfinite(flow) or (
        exponent > 0
        and not np.isclose(_synaptic_flow(model, weights, ones, scale / 2)[0], flow / 2)
    ):
        raise ValueError(
            "`score='synflow'` overflows the precision of this model. Build the model once more "
            'with dtype="float64", copy the weights, prune that, and use its masks, whose paths '
            f"are the same. Received: a synaptic flow of {flow / scale}"
        )
    return {path: np.abs(w) * gradient[path] for path, w in weights.items()}


@dataclass(frozen=True)
class Score:
    """A score and what goes with it where `prune`'s arguments do not say.

    Attributes:
        function: The score.
        distribution: Name of the distribution over layers.
        rounds: Number of rounds in which the density falls to its final value.
    """

    function: ScoreFunction
    distribution: str = "global"
    rounds: int = 1


SCORES: dict[str, Score] = {
    "random": Score(random, distribution="uniform"),
    "magnitude": Score(magnitude),
    "snip": Score(snip),
    "grasp": Score(grasp),
    "synflow": Score(synflow, rounds=100),
}


# What a layer multiplies by; it adds all else.
FACTORS = (*KERNEL_NAMES, "gamma", "scale", "moving_variance")


def _synaptic_flow(
    model: keras.Model, weights: Weights, ones: Any, scale: float
) -> tuple[float, dict[str, np.ndarray]]:
    """R, and `scale` times its gradient by the absolute weights, all at inputs times `scale`."""
    kernels = {v.path: v for v in model.trainable_variables if v.path in weights}
    others = [
        (v, ops.abs(backend.read(v)) * (1.0 if v.name in FACTORS else scale))
        for v in model.variables
        if v.path not in kernels and keras.backend.is_float_dtype(v.dtype)
    ]
    inputs = tree.map_structure(
        lambda x: x * scale if x is not None and keras.backend.is_float_dtype(x.dtype) else x, ones
    )

    def flow(values: list[Any]) -> tuple[Any, Any]:
        mapping = [(kernels[path], value) for path, value in zip(weights, values, strict=True)]
        with keras.StatelessScope(state_mapping=mapping + others):
            outputs = model(inputs, training=False)
        sums = [ops.sum(output) for output in tree.flatten(outputs)]
        total = sum(sums[1:], sums[0])
        return total * scale, total

    values = [ops.convert_to_tensor(np.abs(w)) for w in weights.values()]
    with _linear(model):
        (_, total), gradient = backend.value_and_grad(flow)(values)
    return float(total), {
        path: np.zeros(w.shape, w.dtype) if g is None else ops.convert_to_numpy(backend.dense(g))
        for (path, w), g in zip(weights.items(), gradient, strict=True)
    }


def _example_of_ones(model: keras.Model, objective: Objective) -> Any:
    if objective.batches:
        x, _, _ = objective.batches[0]
        return tree.map_structure(lambda leaf: None if leaf is None else ops.ones_like(leaf[:1]), x)
    if getattr(model, "inputs", None) is None:
        raise ValueError(
            "`data` must be a batch, for the shape of its `x`, if a model that is not functional "
            f"is pruned with score='synflow'. Received: `data=None`, `model={model!r}`"
        )
    # A Sequential has no `input`; with one input, its structure makes no difference.
    symbolic = model.inputs[0] if len(model.inputs) == 1 else model.input
    return tree.map_structure(_ones_like, symbolic)


def _ones_like(symbolic: keras.KerasTensor) -> Any:
    if None in symbolic.shape[1:]:
        raise ValueError(
            "`data` must be a batch, for the shape of its `x`, if a model whose inputs have no "
            "fixed shape is pruned with score='synflow'. "
            f"Received: `data=None` and an input of shape {symbolic.shape}"
        )
    return ops.ones((1, *symbolic.shape[1:]), symbolic.dtype)


@contextmanager
def _linear(model: keras.Model) -> Iterator[None]:
    """Without activations, and in the precision of the variables instead of a lower one."""
    present = []
    try:
        for layer in keras_internals.all_layers(model):
            for attribute, value in _linear_attributes(layer).items():
                present.append((layer, attribute, getattr(layer, attribute)))
                setattr(layer, attribute, value)
        yield
    finally:
        for layer, attribute, value in present:
            setattr(layer, attribute, value)


def _linear_attributes(layer: keras.Layer) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    if layer.compute_dtype != layer.variable_dtype:
        attributes["dtype_policy"] = layer.variable_dtype
    # Not the `activation` that LSTM shows of its cell, and none that is a layer with weights.
    if callable(vars(layer).get("activation")) and not isinstance(layer.activation, keras.Layer):
        attributes["activation"] = keras.activations.linear
    if isinstance(layer, keras.layers.ReLU):  # ReLU6; of what is positive, ReLU is linear.
        attributes["max_value"] = None
    return attributes
