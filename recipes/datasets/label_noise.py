"""Wrong labels at a known rate, the same ones in every epoch and every run of a seed.

A noisy label is (true label + shift) mod classes. The shifts are drawn without looking at the
labels, so they serve labels in memory and labels that are read from a stream alike.
"""

from __future__ import annotations

import numpy as np

NOISE_KINDS = ("symmetric", "pair_flip")


def label_shifts(
    count: int, classes: int, label_noise: float, noise_kind: str = "symmetric", seed: int = 0
) -> np.ndarray:
    """Draws what to add to each of `count` labels, modulo the number of classes.

    Exactly round(label_noise * count) shifts are not 0; which ones, is drawn uniformly. A flipped
    label is never the true one:

    - "symmetric": uniform over the other classes, i.e. a shift from {1, ..., classes - 1}. (Some
      papers also draw the true class; rate r there is rate r (classes - 1) / classes here.)
    - "pair_flip": class c becomes class c + 1 and the last one the first, i.e. a shift of 1.

    Args:
        count: number of labels, >= 0.
        classes: number of classes, >= 2.
        label_noise: share of wrong labels, in [0, 1].
        noise_kind: "symmetric" or "pair_flip".
        seed: fixes the shifts, an integer >= 0.

    Returns:
        Shifts of shape (count,), int64, in [0, classes).

    Raises:
        ValueError: an argument is outside of its range.

    Example:

    ```python
    shifts = label_shifts(count=60_000, classes=10, label_noise=0.4, seed=0)
    noisy = (labels + shifts) % 10
    ```

    References: van Rooyen, Menon and Williamson, NIPS 2015 (symmetric); Han et al.,
    "Co-teaching", NeurIPS 2018, figure 1 (pair flip).
    """
    if noise_kind not in NOISE_KINDS:
        raise ValueError(
            f"`noise_kind` must be one of {NOISE_KINDS}. Received: `noise_kind={noise_kind!r}`"
        )
    if not 0.0 <= label_noise <= 1.0:
        raise ValueError(
            f"`label_noise` must be a number in [0, 1]. Received: `label_noise={label_noise!r}`"
        )
    if classes < 2:
        raise ValueError(f"`classes` must be >= 2. Received: `classes={classes!r}`")
    generator = np.random.default_rng(seed)
    flipped = generator.permutation(count)[: round(label_noise * count)]
    shifts = np.zeros(count, np.int64)
    if noise_kind == "symmetric":
        shifts[flipped] = generator.integers(1, classes, size=flipped.size)
    else:
        shifts[flipped] = 1
    return shifts


def noisy_labels(
    labels: np.ndarray,
    classes: int,
    label_noise: float,
    noise_kind: str = "symmetric",
    seed: int = 0,
) -> np.ndarray:
    """Returns a copy of the labels of which exactly round(label_noise * count) are wrong.

    Args:
        labels: integer labels of shape (count,), in [0, classes).
        classes: number of classes, >= 2.
        label_noise: share of wrong labels, in [0, 1].
        noise_kind: "symmetric" or "pair_flip", see `label_shifts`.
        seed: fixes the noise, an integer >= 0.

    Returns:
        Labels of the same shape and dtype.

    Raises:
        ValueError: an argument is outside of its range.

    Example:

    ```python
    labels = np.array([0, 1, 2])
    noisy_labels(labels, classes=3, label_noise=1.0, noise_kind="pair_flip")  # [1, 2, 0]
    ```
    """
    labels = np.asarray(labels)
    check_labels(labels, classes)
    shifts = label_shifts(labels.size, classes, label_noise, noise_kind, seed)
    return ((labels + shifts) % classes).astype(labels.dtype)


def check_labels(labels: np.ndarray, classes: int | None) -> None:
    """Raises a ValueError unless labels are a vector of integers in [0, classes).

    Args:
        labels: An array.
        classes: Number of classes; `None` where labels are no classes, but finite numbers.

    Raises:
        ValueError: If they are not.
    """
    if classes is None:
        if not np.isfinite(labels).all():
            raise ValueError("`labels` must be finite. Received: NaN or infinite ones")
        return
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            "`labels` must be a vector of integers. "
            f"Received: `labels` of shape {labels.shape} and dtype {labels.dtype}"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"`labels` must lie in [0, {classes}). "
            f"Received: `labels` from {labels.min()} to {labels.max()}"
        )
