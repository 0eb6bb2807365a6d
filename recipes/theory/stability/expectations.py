"""Expectations of products of a mini-batch's Hessian.

A batch of B examples drawn with replacement has the Hessian `H_B = (1/B) sum_j H_(i_j)`. The
expectation of a product of k such factors is a sum over which of the k factors came from one and
the same example, that is over the partitions of the k places into blocks:

    E[H_B ... H_B] = sum over partitions, of b blocks,  B (B-1) ... (B-b+1) / B^k
                     E over b independent examples of the product with those at their blocks' places

For k = 2, say: `E[H_B^2] = E[H_i^2] / B + (1 - 1/B) H^2`. The number of partitions does not grow
with B (1, 2, 5, 15 for k = 1 to 4), so batches of any size cost the same.
"""

import numbers
from collections.abc import Iterator

import numpy as np

from recipes.theory.validation import require, symmetric_matrices

Array = np.ndarray


def moments(hessians: Array, batch_size: int = 1, highest: int = 4) -> list[Array]:
    """The moments `E[H_B^k]`, k = 1, 2, ..., of a mini-batch's Hessian.

    Args:
        hessians: The Hessian of each example, (n, d, d); all equally likely.
        batch_size: B, >= 1 examples drawn with replacement. Defaults to 1.
        highest: The last k, 1 to 4. Defaults to 4.

    Returns:
        As many arrays (d, d): `H`, `M_2`, `M_3`, `M_4`.

    Raises:
        ValueError: If an argument is not as said.

    Example:

    >>> [float(m[0, 0]) for m in moments(np.array([[[0.0]], [[1.0]]]), batch_size=2)]
    [0.5, 0.375, 0.3125, 0.28125]
    """
    products = ("AB", "AC CB", "AC CD DB", "AC CD DE EB")[:highest]
    return [expectation(hessians, batch_size, product, "AB") for product in products]


def expectation(hessians: Array, batch_size: int, product: str, output: str) -> Array:
    """The expectation of any product of entries of `H_B`, in the manner of `numpy.einsum`.

    Args:
        hessians: The Hessian of each example, (n, d, d); all equally likely.
        batch_size: B, >= 1.
        product: The two indices of each factor `H_B`, in upper case, with spaces between factors.
        output: The indices that remain.

    Returns:
        An array with one axis of length d for each index of `output`.

    Raises:
        ValueError: If an argument is not as said.

    Example, E[H_B^2], of which a batch of one has E[H_i^2]:

    >>> expectation(np.array([[[0.0]], [[1.0]]]), 1, "AC CB", "AB")
    array([[0.5]])
    """
    hessians = symmetric_matrices("hessians", hessians)
    whole = isinstance(batch_size, numbers.Integral) and batch_size >= 1
    require("batch_size", batch_size, whole, "an integer >= 1")
    mean = hessians.mean(axis=0)
    factors = product.split()
    total: Array = np.zeros(())
    for blocks in partitions(len(factors)):
        weight, terms, operands = 1.0, [], []
        for block in set(blocks):
            weight *= batch_size - block
            if blocks.count(block) > 1:
                weight /= len(hessians)
        if weight == 0:
            continue  # More blocks than examples in the batch.
        for block, indices in zip(blocks, factors, strict=True):
            alone = blocks.count(block) == 1
            terms.append(indices if alone else "abcd"[block] + indices)
            operands.append(mean if alone else hessians)
        value = np.einsum(f"{','.join(terms)}->{output}", *operands, optimize=True)
        total = total + weight * value
    return total / batch_size ** len(factors)


def partitions(places: int) -> Iterator[tuple[int, ...]]:
    """Every partition of the places 0, 1, ..., as the number of each place's block.

    Example:

    >>> list(partitions(2))
    [(0, 0), (0, 1)]
    """
    if places == 0:
        yield ()
        return
    for start in partitions(places - 1):
        for block in range(max(start, default=-1) + 2):
            yield (*start, block)
