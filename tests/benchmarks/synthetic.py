"""The batch that every step is timed on."""

import numpy as np

from tests.benchmarks.variant import Variant

CLASSES = 10
INPUT_SHAPES = {"mlp": (28, 28, 1), "resnet18": (32, 32, 3)}
LEARNING_RATE = 0.01
MOMENTUM = 0.9


def batch(variant: Variant) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal images (batch, height, width, channels), float32, and labels, int32."""
    rng = np.random.default_rng(0)
    shape = (variant.batch_size, *INPUT_SHAPES[variant.network])
    x = rng.standard_normal(shape, dtype=np.float32)
    return x, rng.integers(CLASSES, size=variant.batch_size, dtype=np.int32)
