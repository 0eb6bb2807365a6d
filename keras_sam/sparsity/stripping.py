"""`strip`: the plain model for deployment, and what it takes to store."""

from typing import NamedTuple

import keras
from keras import ops

from keras_sam.sparsity.kernels import plain_model
from keras_sam.sparsity.storage import pack


class Stripped(NamedTuple):
    """A plain model and its size.

    Attributes:
        model: The `keras.Model`.
        dense_bytes: Size of its weights as they are, as a file of weights holds them.
        compressed_bytes: Size of its weights compressed, zeros left out.
    """

    model: keras.Model
    dense_bytes: int
    compressed_bytes: int

    @property
    def ratio(self) -> float:
        """How many times smaller the compressed weights are."""
        return self.dense_bytes / self.compressed_bytes


def strip(model: keras.Model) -> Stripped:
    """The plain model for deployment, its pruned weights exactly 0.0, and its size.

    The sizes are measured by compressing each weight: zlib of a bit mask and of the numbers that
    are not zero. Keras itself stores and computes with all weights, zeros or not; a smaller file
    takes such a compression, and less computation a runtime that uses sparsity.

    Args:
        model: A built SAMModel or `keras.Model`.

    Returns:
        `(model, dense_bytes, compressed_bytes)`, with `.ratio`. Its model is the net that the
        SAMModel trains, the same object and no copy; a plain model is returned as it is.

    Raises:
        TypeError: If `model` is not a `keras.Model`.
        ValueError: If it is not built.

    Example:

    >>> import keras
    >>> from keras_sam import SAMModel, sparsity
    >>> net = keras.Sequential([keras.Input((100,)), keras.layers.Dense(100)])
    >>> sam = SAMModel(net, masks=sparsity.prune(net, 0.9))
    >>> stripped = sparsity.strip(sam)
    >>> stripped.model is net, stripped.ratio > 7  # Each kept weight of 4 bytes costs 0.5 of mask.
    (True, True)
    """
    net = plain_model(model)
    arrays = [ops.convert_to_numpy(weight.value) for weight in net.weights]
    return Stripped(
        net, sum(array.nbytes for array in arrays), sum(len(pack(array)) for array in arrays)
    )
