"""`prune`: from a model to masks. Four axes: score, distribution, sparsity and structure."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_sam.sparsity import structures
from keras_sam.sparsity.arguments import fraction, named
from keras_sam.sparsity.distributions import DISTRIBUTIONS, Distribution, kept_count
from keras_sam.sparsity.kernels import Filter, Kernel, find_kernels, plain_model
from keras_sam.sparsity.objective import Objective
from keras_sam.sparsity.scores import SCORES, Score, ScoreFunction
from keras_sam.validation import integer

Masks = dict[str, np.ndarray]


def prune(
    model: keras.Model,
    sparsity: float,
    score: str | ScoreFunction = "magnitude",
    *,
    distribution: str | Distribution | None = None,
    structure: str = "unstructured",
    data: Any = None,
    loss: Any = None,
    seed: int = 0,
    filter: Filter | None = None,
    rounds: int | None = None,
) -> Masks:
    """Masks that keep the weights of highest score. The model itself is left as it is.

    Of n weights in all, `round((1 - sparsity) * n)` are kept, halves rounded up: exactly that many.
    Of equal scores, the one that comes first (in `model.trainable_variables`, then in C order)
    is kept.

    Args:
        model: A built `keras.Model` or SAMModel.
        sparsity: Fraction of the kernels' weights to remove, 0 <= sparsity < 1.
        score: "random", "magnitude", "snip", "grasp", "synflow", or a function
            `(model, weights, objective, rng) -> scores` (see `keras_sam.sparsity.scores`).
            Defaults to "magnitude", which suits a trained model; at initialisation, the paper
            studies "random" and "snip".
        distribution: Which layers lose how many: "global" (one threshold for all), "uniform" (the
            same sparsity in each), "erk" (Erdős-Rényi-Kernel), or a function
            `(scores, kept) -> counts` (see `keras_sam.sparsity.distributions`).
            Defaults to `None`: "uniform" for random scores, "global" for all others.
        structure: "unstructured", or "N:M" for N of each M consecutive weights along a kernel's
            input axis, such as "2:4"; `sparsity` is then 1 - N/M, the same in each layer. Kernels
            whose input axis M does not divide stay dense, with a warning. Defaults to
            "unstructured".
        data: What SNIP and GraSP score on: one batch, a tuple `(x, y)` or `(x, y, sample_weight)`,
            or a finite iterable of such batches, whose examples are averaged. Defaults to `None`.
        loss: The loss on `data`, as `keras.Model.compile` takes it. Defaults to `None`, the loss
            that the model was compiled with.
        seed: Seed of random scores, an int >= 0. The mask depends on no other random state.
            Defaults to 0.
        filter: Which weights to prune: `filter(layer, variable) -> bool`, or a list of
            `variable.path`s. Defaults to `None`, the trainable kernels that `prunable` names.
        rounds: Number of rounds; after round k of n a fraction `(1 - sparsity)^(k/n)` is kept, and
            the rest is scored again. Defaults to `None`: 100 for "synflow", otherwise 1; with N:M
            always 1.

    Returns:
        A dict from `variable.path` to a boolean array of the weight's shape, `True` where kept.
        `SAMModel(model, masks=masks)` trains with it; with `rho=0`, by the plain optimizer.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a name is unknown (the message lists those known), sparsity is outside
            [0, 1), data or loss is needed but missing, scores are not finite or all zero, or the
            model is not built.

    Warns:
        UserWarning: If a layer is left without weights ("global", or very few weights), or stays
            dense because "N:M" does not fit.

    Example: prune at initialisation, then train by plain SGD.

    >>> import keras, numpy as np
    >>> from keras_sam import SAMModel, sparsity
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(1)])
    >>> x, y = np.random.default_rng(0).normal(size=(32, 8)), np.zeros((32, 1))
    >>> masks = sparsity.prune(model, 0.9, score="snip", data=(x, y), loss="mse")
    >>> sum(int(mask.sum()) for mask in masks.values())  # of 8 * 16 + 16 = 144
    14
    >>> sparse = SAMModel(model, rho=0, masks=masks)
    >>> sparse.compile("sgd", "mse")
    >>> history = sparse.fit(x, y, verbose=0)

    References:
        - Shin et al. 2025, https://arxiv.org/abs/2311.17539 (random uniformly, SNIP globally)
    """
    sparsity = fraction("sparsity", sparsity)
    seed = integer("seed", seed, least=0)
    n_of_m = structures.parse(structure)
    scoring = _scoring(score)
    rounds = _rounds(rounds, scoring, structure)
    net = plain_model(model)
    kernels = find_kernels(net, filter)
    if n_of_m is not None:
        _check_n_of_m(n_of_m, sparsity, distribution, structure)
        kernels = _divisible(kernels, n_of_m[1], structure)
    allot = named(
        "distribution",
        scoring.distribution if distribution is None else distribution,
        DISTRIBUTIONS,
    )
    objective = Objective(model, data, loss, needed_by=f"`score={score!r}`")
    rng = np.random.default_rng(seed)
    dense = {k.path: ops.convert_to_numpy(k.variable.value) for k in kernels}
    total = sum(w.size for w in dense.values())

    masks = {path: np.ones(w.shape, bool) for path, w in dense.items()}
    for k in range(1, rounds + 1):
        weights = {path: np.where(masks[path], w, w.dtype.type(0)) for path, w in dense.items()}
        scores = checked_scores(scoring.function(net, weights, objective, rng), weights)
        if sparsity > 0 and not any(s.any() for s in scores.values()):
            raise ValueError(
                f"`score` must tell weights apart, but in round {k} of {rounds} all scores are "
                "zero. If earlier rounds cut the network, more rounds may not. "
                f"Received: `score={score!r}`"
            )
        if n_of_m is not None:
            return {
                kernel.path: structures.n_of_m(scores[kernel.path], *n_of_m, kernel.input_axis)
                for kernel in kernels
                if kernel.input_axis is not None
            }
        removed = sparsity if k == rounds else 1 - (1 - sparsity) ** (k / rounds)
        masks = shrink(masks, scores, kept_count(removed, total), allot)
    empty = [path for path, mask in masks.items() if not mask.any()]
    if empty:
        warnings.warn(
            f"sparsity={sparsity} leaves no weight in {empty}, so that nothing passes through "
            "them. The distributions 'uniform' and 'erk' keep at least one in each layer, as long "
            "as there are as many weights as layers.",
            stacklevel=2,
        )
    return masks


def shrink(
    masks: Masks, scores: Mapping[str, np.ndarray], kept: int, distribution: Distribution
) -> Masks:
    """Masks of the `kept` weights of highest score, among those that `masks` keep.

    Args:
        masks: From path to a boolean array.
        scores: From the same paths to finite arrays of the same shapes.
        kept: How many to keep; at most as many as `masks` do.
        distribution: How many of them in each layer.

    Returns:
        A dict like `masks`.

    Raises:
        ValueError: If the distribution's counts are not possible.
    """
    left = [np.where(mask, scores[path], -np.inf) for path, mask in masks.items()]
    counts = distribution(left, kept)
    available = [int(mask.sum()) for mask in masks.values()]
    if not _possible(counts, kept, available):
        raise ValueError(
            f"`distribution` must return counts whose sum is {kept}, each from 0 to what the layer "
            f"has left, {available}. Received: `distribution={distribution!r}` with {counts!r}"
        )
    return {
        path: structures.top(score, int(count))
        for path, score, count in zip(masks, left, counts, strict=True)
    }


def _possible(counts: Any, kept: int, available: Sequence[int]) -> bool:
    """Whether these are whole numbers, one for each layer, that it can keep, `kept` in all."""
    try:
        array = np.asarray(counts)
    except ValueError:  # Of parts of different lengths.
        return False
    if array.shape != (len(available),) or array.dtype.kind not in "iuf":
        return False
    whole = np.array_equal(array, np.floor(array))
    return bool(whole and array.sum() == kept and ((array >= 0) & (array <= available)).all())


def checked_scores(
    scores: Mapping[str, Any], weights: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Scores as NumPy arrays, if they are finite and fit the weights.

    Args:
        scores: What a score function returned.
        weights: The weights, by path.

    Raises:
        TypeError: If it is no dict.
        ValueError: If a path is missing or unknown, a shape differs, or a score is no finite
            number.
    """
    if not isinstance(scores, Mapping):
        raise TypeError(
            f"`score` must return a dict from path to array. Received: {scores!r} of {type(scores)}"
        )
    if set(scores) != set(weights):
        raise ValueError(
            f"`score` must return a score for each of {list(weights)}. "
            f"Received: scores for {list(scores)}"
        )
    arrays = {path: np.asarray(ops.convert_to_numpy(scores[path])) for path in weights}
    for path, array in arrays.items():
        if array.shape != weights[path].shape:
            raise ValueError(
                f"`score` must return arrays of the weights' shapes, {weights[path].shape} for "
                f"{path!r}. Received: an array of shape {array.shape}"
            )
        if array.dtype.kind in "OSUmMc":  # Not a list of what is allowed: bfloat16 is "V".
            raise ValueError(
                f"`score` must return real numbers. Received: {array.dtype} for {path!r}"
            )
        if not np.isfinite(array).all():
            raise ValueError(
                "`score` must be finite; check the weights and the data for NaN and overflow. "
                f"Received: {np.count_nonzero(~np.isfinite(array))} scores of {path!r} that are "
                "NaN or infinite"
            )
    return arrays


def _scoring(score: str | Callable[..., Any]) -> Score:
    found = named("score", score, SCORES)
    return found if isinstance(found, Score) else Score(found)


def _rounds(rounds: int | None, scoring: Score, structure: str) -> int:
    if rounds is None:
        return scoring.rounds if structure == structures.UNSTRUCTURED else 1
    rounds = integer("rounds", rounds, least=1)
    if rounds > 1 and structure != structures.UNSTRUCTURED:
        raise ValueError(
            f"`rounds` must be 1 with `structure={structure!r}`. Received: `rounds={rounds}`"
        )
    return rounds


def _check_n_of_m(
    n_of_m: tuple[int, int], sparsity: float, distribution: Any, structure: str
) -> None:
    n, m = n_of_m
    if not math.isclose(sparsity, 1 - n / m):
        raise ValueError(
            f"`sparsity` must be {1 - n / m}, which `structure={structure!r}` is. "
            f"Received: `sparsity={sparsity}`"
        )
    if distribution not in (None, "uniform"):
        raise ValueError(
            f"`distribution` must be 'uniform' or None with `structure={structure!r}`, which fixes "
            f"the sparsity of each layer. Received: `distribution={distribution!r}`"
        )


def _divisible(kernels: Sequence[Kernel], m: int, structure: str) -> list[Kernel]:
    fitting = [
        k for k in kernels if k.input_axis is not None and k.variable.shape[k.input_axis] % m == 0
    ]
    others = {k.path: tuple(k.variable.shape) for k in kernels if k not in fitting}
    if not fitting:
        raise ValueError(
            f"`structure` must fit a kernel: the length of its input axis must be a multiple of "
            f"{m}. Received: `structure={structure!r}` and kernels {others}"
        )
    if others:
        warnings.warn(
            f"structure={structure!r} leaves these kernels dense, since the length of their input "
            f"axis is not a multiple of {m} (or there is no such axis): {others}",
            stacklevel=3,
        )
    return fitting
