"""Random crops and flips of a whole batch at a time."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

import numpy as np
from keras import ops


class Augmentation(abc.ABC):
    """What is done to training examples at random: the host draws numbers, the device applies them.

    Example:

    ```python
    class Shift(Augmentation):
        def draw(self, random, shape):
            return random.integers(0, 9, size=(*shape, 1))

        def __call__(self, inputs, draws):
            return inputs + draws
    ```
    """

    @abc.abstractmethod
    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draws k small integers for each example, shape (*shape, k), int32.

        Args:
            random: NumPy's generator, for this alone.
            shape: Of the examples: (steps, batch_size).
        """

    @abc.abstractmethod
    def __call__(self, inputs: Any, draws: Any) -> Any:
        """Applies what was drawn, by `keras.ops`.

        Args:
            inputs: A batch as it is in memory, (batch, *input_shape).
            draws: int32 (batch, k).

        Returns:
            A tensor of the shape and dtype of `inputs`.
        """


@dataclasses.dataclass(frozen=True)
class CropAndFlip(Augmentation):
    """Shifts each image within a border of zeros and mirrors half of them.

    With p the image padded by `padding` zeros on each side, the result is

        y[i, j] = p[top + i, left + j]                    (not flipped)
        y[i, j] = p[top + i, left + width - 1 - j]        (flipped)

    A draw is (top, left, flip): uniform in [0, 2 padding], in [0, 2 padding], and in {0, 1}.

    Args:
        padding: Width of the border in pixels, >= 0. Defaults to 4.

    Example:

    >>> CropAndFlip(padding=1)(np.array([[[[1], [2]]]]), np.array([[1, 1, 1]])).shape
    (1, 1, 2, 1)

    Reference: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
    """

    padding: int = 4

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        limits = (2 * self.padding + 1, 2 * self.padding + 1, 2)
        return random.integers(0, limits, size=(*shape, 3), dtype=np.int32)

    def __call__(self, inputs: Any, draws: Any) -> Any:
        images, border = inputs, (self.padding, self.padding)
        height, width, channels = images.shape[1:]
        draws = ops.convert_to_tensor(draws, "int32")
        rows = draws[:, :1] + ops.arange(height, dtype="int32")
        columns = ops.arange(width, dtype="int32")
        columns = ops.where(draws[:, 2:] > 0, width - 1 - columns, columns) + draws[:, 1:2]
        # One gather of pixels: an image is that many rows of so many columns further on.
        padded = ops.pad(images, ((0, 0), border, border, (0, 0)))
        high, wide = height + 2 * self.padding, width + 2 * self.padding
        first = ops.arange(0, ops.shape(images)[0], dtype="int32") * high
        pixels = (first[:, None] + rows)[:, :, None] * wide + columns[:, None, :]
        return ops.take(ops.reshape(padded, (-1, channels)), pixels, axis=0)
