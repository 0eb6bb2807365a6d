"""Random crops and flips of a whole batch at a time."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def crop_and_flip(images: Any, tops: Any, lefts: Any, flips: Any, padding: int) -> tf.Tensor:
    """Shifts each image within a border of zeros and mirrors some of them.

    With p the image padded by `padding` zeros on each side, the result is

        y[i, j] = p[top + i, left + j]                    (not flipped)
        y[i, j] = p[top + i, left + width - 1 - j]        (flipped)

    Args:
        images: (batch, height, width, channels), any dtype.
        tops: first row of each crop in the padded image, int32 (batch,), in [0, 2 padding].
        lefts: first column, likewise.
        flips: whether to mirror each crop left to right, bool (batch,).
        padding: width of the border in pixels, >= 0.

    Returns:
        A tensor of the shape and dtype of `images`.

    Example:

    ```python
    centre = tf.fill([batch], 4)
    same = crop_and_flip(images, centre, centre, tf.fill([batch], False), padding=4)
    ```
    """
    height, width = images.shape[1:3]
    padded = tf.pad(images, [[0, 0], [padding, padding], [padding, padding], [0, 0]])
    rows = tops[:, None] + tf.range(height)
    columns = tf.range(width)
    columns = lefts[:, None] + tf.where(flips[:, None], columns[::-1], columns)
    cropped = tf.gather(padded, rows, axis=1, batch_dims=1)
    return tf.gather(cropped, columns, axis=2, batch_dims=1)


def random_crop_and_flip(images: Any, seed: Any, padding: int = 4) -> tf.Tensor:
    """Applies `crop_and_flip` with offsets and flips drawn uniformly, as a function of `seed`.

    Args:
        images: (batch, height, width, channels), any dtype.
        seed: two integers, shape (2,).
        padding: width of the border of zeros in pixels; default 4.

    Returns:
        A tensor of the shape and dtype of `images`.

    Example:

    ```python
    images = random_crop_and_flip(images, seed=(0, step))
    ```

    Reference: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
    """
    crop_seed, flip_seed = tf.unstack(tf.random.split(seed, 2))
    batch = tf.shape(images)[0]
    offsets = tf.random.stateless_uniform(
        [2, batch], crop_seed, minval=0, maxval=2 * padding + 1, dtype=tf.int32
    )
    flips = tf.random.stateless_uniform([batch], flip_seed) < 0.5
    return crop_and_flip(images, offsets[0], offsets[1], flips, padding)
