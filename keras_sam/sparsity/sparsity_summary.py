"""`summary`: how many weights each layer keeps."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from rich.console import Console
from rich.table import Table

from keras_sam.masks import check_masks
from keras_sam.sam_model import SAMModel
from keras_sam.sparsity.kernels import find_kernels, plain_model


@dataclass(frozen=True)
class KernelSparsity:
    """How many of its weights one kernel keeps.

    Attributes:
        path: The `variable.path`.
        shape: The shape.
        kept: The number of weights kept.
        size: The number of all its weights.
    """

    path: str
    shape: tuple[int, ...]
    kept: int
    size: int

    @property
    def sparsity(self) -> float:
        """The fraction that is pruned, 0 to 1."""
        return 1 - self.kept / self.size


@dataclass(frozen=True)
class SparsitySummary:
    """How many of its trainable parameters a model keeps; `str` and `print` show it as a table.

    Attributes:
        kernels: A `KernelSparsity` for each pruned kernel.
        dense: The number of all other trainable parameters, which are not pruned.
    """

    kernels: tuple[KernelSparsity, ...]
    dense: int

    @property
    def kept(self) -> int:
        """The number of trainable parameters kept, those that are not pruned included."""
        return self.dense + sum(kernel.kept for kernel in self.kernels)

    @property
    def size(self) -> int:
        """The number of all trainable parameters."""
        return self.dense + sum(kernel.size for kernel in self.kernels)

    @property
    def sparsity(self) -> float:
        """The fraction of the pruned kernels' weights that is pruned: `prune`'s `sparsity`."""
        size = sum(kernel.size for kernel in self.kernels)
        return 1 - sum(kernel.kept for kernel in self.kernels) / size if size else 0.0

    def __rich__(self) -> Table:
        table = Table("weight", "shape", "kept", "of", "sparsity")
        for column in table.columns[2:]:
            column.justify = "right"
        for kernel in self.kernels:
            shape = " x ".join(map(str, kernel.shape))
            table.add_row(kernel.path, shape, *_numbers(kernel.kept, kernel.size))
        table.add_row("not pruned", "", *_numbers(self.dense, self.dense), end_section=True)
        table.add_row("total", "", *_numbers(self.kept, self.size))
        return table

    def __str__(self) -> str:
        text = io.StringIO()
        console = Console(file=text, width=_WIDTH, color_system=None)
        console.print(self.__rich__(), no_wrap=True)
        return text.getvalue().rstrip("\n")


_WIDTH = 10_000  # The table is as wide as it needs to be: paths are never cut.


def summary(model: keras.Model, masks: Mapping[str, Any] | None = None) -> SparsitySummary:
    """How many weights each layer keeps.

    Args:
        model: A built `keras.Model` or SAMModel.
        masks: What to count: a dict from `variable.path` to a boolean array. Defaults to `None`:
            the masks of a SAMModel; without any, the kernels' weights that are not 0.0.

    Returns:
        A `SparsitySummary`.

    Raises:
        ValueError: If masks do not fit the model.

    Example:

    >>> import keras
    >>> from keras_sam import sparsity
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="top")], name="net")
    >>> total = sparsity.summary(model, sparsity.prune(model, 0.75))
    >>> total.kept, total.size, total.sparsity
    (12, 36, 0.75)
    """
    net = plain_model(model)
    if masks is None:
        masks = model.masks if isinstance(model, SAMModel) else {}
        if not masks:
            masks = {k.path: ops.convert_to_numpy(k.variable.value) != 0 for k in find_kernels(net)}
    masks = check_masks(masks, net.trainable_variables, net.weights)
    kernels = tuple(
        KernelSparsity(path, mask.shape, int(np.count_nonzero(mask)), mask.size)
        for path, mask in masks.items()
    )
    dense = sum(math.prod(v.shape) for v in net.trainable_variables if v.path not in masks)
    return SparsitySummary(kernels, dense)


def _numbers(kept: int, size: int) -> tuple[str, str, str]:
    return f"{kept:,}", f"{size:,}", f"{1 - kept / size:.2%}" if size else ""
