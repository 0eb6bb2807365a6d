"""From graphs in memory to a `Data` of padded batches."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import keras
import numpy as np

from recipes.datasets.batches import Batch, fed
from recipes.datasets.buckets import Plan, in_order, shuffled, widths
from recipes.datasets.data import Data
from recipes.datasets.label_noise import noisy_labels
from recipes.datasets.members import members
from recipes.datasets.ragged import Ragged
from recipes.datasets.split import Split, check_integer


@dataclasses.dataclass(frozen=True)
class Graphs:
    """Undirected graphs, each with a label for each of several yes-or-no tasks.

    Attributes:
        nodes: numbers of each node, float32 (nodes, features).
        edges: pairs of nodes, numbered within their graph, integers (edges, 2); each once.
        labels: 0, 1, or NaN where it is not known, float32 (graphs, tasks).
    """

    nodes: Ragged
    edges: Ragged
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> Graphs:
        """Some of the graphs."""
        return Graphs(self.nodes.take(rows), self.edges.take(rows), self.labels[rows])


@dataclasses.dataclass(frozen=True)
class GraphData(Data):
    """A `Data` of graphs.

    `train` and the other streams yield (inputs, labels, weights). Inputs are "nodes" (batch, nodes,
    features), "adjacency" (batch, nodes, nodes) and "pooling" (batch, nodes), all float32 and as
    `recipes.networks.graph_convolution` takes them; how many nodes there are differs from batch to
    batch. Labels and weights are float32 (batch, tasks): where a label is not known, both are 0.
    Weights in training make `sum_over_batch_size` the mean over a batch's known labels, and in
    evaluation the mean over all known labels of the set.

    Attributes:
        features: numbers a node.
        tasks: labels a graph.
    """

    features: int = 0
    tasks: int = 0


def graph_data(
    name: str, train: Graphs, validation: Graphs | None, test: Graphs, split: Split
) -> GraphData:
    """Splits and batches graphs; batches hold graphs of similar size.

    The order is NumPy's, a function of (seed, epoch): the same on every backend and after every
    resume. Label noise turns known labels over.

    Args:
        name: the dataset's name.
        train: the source's training set.
        validation: its validation set; `None` if one is to be cut from `train`.
        test: its test set.
        split: how to split and batch them.

    Returns:
        The `GraphData`.

    Raises:
        ValueError: If a graph has no node, an edge points outside of its graph, a label is neither
            0, 1 nor NaN, or the split is not possible.
    """
    parts = [train, test] if validation is None else [train, validation, test]
    for part in parts:
        _check(part)
    training, held_out = members(
        split, len(train.nodes), 0 if validation is None else len(validation.nodes)
    )
    fitted = train.take(training)
    fitted = dataclasses.replace(fitted, labels=_noisy(fitted.labels, split))
    selected = (
        train.take(held_out) if validation is None else validation.take(held_out - len(train.nodes))
    )
    steps = len(training) // split.batch_size
    features, tasks = train.nodes.values.shape[1], train.labels.shape[1]
    signature = _signature(features, tasks)

    @functools.lru_cache(maxsize=2)
    def plans(epoch: int) -> list[Plan]:
        return shuffled(fitted.nodes.lengths, split.batch_size, split.seed, epoch)

    def stream(initial_epoch: int = 0) -> Any:
        check_integer("initial_epoch", initial_epoch, minimum=0)

        def batch_at(index: int) -> Batch:
            return _batch(fitted, plans(initial_epoch + index // steps)[index % steps])

        return fed(batch_at, None, signature)

    def one_pass(part: Graphs) -> Any:
        order = in_order(part.nodes.lengths, split.batch_size)
        known = max((~np.isnan(part.labels)).mean(), 1 / part.labels.size)
        return fed(lambda index: _batch(part, order[index], known), len(order), signature)

    return GraphData(
        name=name,
        train=stream,
        validation=one_pass(selected),
        test=one_pass(test),
        steps_per_epoch=steps,
        batch_size=split.batch_size,
        input_shape=(int(max(widths(part.nodes.lengths).max() for part in parts)), features),
        classes=2,
        train_examples=len(training),
        validation_examples=len(held_out),
        test_examples=len(test.nodes),
        one_shape=False,
        features=features,
        tasks=tasks,
    )


def adjacency(edges: Ragged, nodes: np.ndarray, rows: np.ndarray, width: int) -> np.ndarray:
    """Normalised adjacencies with an edge from each node to itself.

        A[i, j] = 1 / sqrt(degree i * degree j)    where i = j or there is an edge, else 0

    Args:
        edges: pairs of nodes of each graph.
        nodes: number of nodes of each graph.
        rows: numbers of the graphs.
        width: nodes to pad to.

    Returns:
        float32 (rows, width, width).
    """
    result = np.zeros((len(rows), width, width), np.float32)
    there = np.arange(width) < nodes[rows][:, None]
    graph, node = np.nonzero(there)
    result[graph, node, node] = 1
    ends = edges.take(rows).values.astype(np.int64)
    graph = np.repeat(np.arange(len(rows)), edges.lengths[rows])
    result[graph, ends[:, 0], ends[:, 1]] = 1
    result[graph, ends[:, 1], ends[:, 0]] = 1
    scale = 1 / np.sqrt(np.maximum(result.sum(-1), 1))
    return result * scale[:, :, None] * scale[:, None, :]


def _batch(part: Graphs, plan: Plan, known: float | None = None) -> Batch:
    sizes = part.nodes.lengths[plan.rows]
    there = np.arange(plan.width) < sizes[:, None]
    inputs = {
        "nodes": part.nodes.padded(plan.rows, plan.width),
        "adjacency": adjacency(part.edges, part.nodes.lengths, plan.rows, plan.width),
        "pooling": (there / sizes[:, None]).astype(np.float32),
    }
    labels = part.labels[plan.rows]
    there = ~np.isnan(labels)
    share = known or max(there.mean(), 1 / there.size)
    return inputs, np.where(there, labels, 0), (there / share).astype(np.float32)


def _noisy(labels: np.ndarray, split: Split) -> np.ndarray:
    known = ~np.isnan(labels)
    flat = labels[known].astype(np.int64)
    noisy = labels.copy()
    noisy[known] = noisy_labels(flat, 2, split.label_noise, split.noise_kind, split.fixed_by)
    return noisy


def _signature(features: int, tasks: int) -> Batch:
    inputs = {
        "nodes": keras.KerasTensor((None, None, features), "float32"),
        "adjacency": keras.KerasTensor((None, None, None), "float32"),
        "pooling": keras.KerasTensor((None, None), "float32"),
    }
    labels = keras.KerasTensor((None, tasks), "float32")
    return inputs, labels, labels


def _check(part: Graphs) -> None:
    sizes = part.nodes.lengths
    if not len(sizes) or sizes.min() < 1:
        raise ValueError(
            "Graphs must have at least one node, and there must be one. "
            f"Received: {len(sizes)} graphs, {(sizes < 1).sum()} of them without nodes"
        )
    if not len(sizes) == len(part.edges) == len(part.labels):
        raise ValueError(
            "Graphs must have nodes, edges and labels each. "
            f"Received: {len(sizes)}, {len(part.edges)} and {len(part.labels)}"
        )
    ends = part.edges.values
    largest = np.repeat(sizes, part.edges.lengths)[:, None]
    if ends.size and not ((ends >= 0) & (ends < largest)).all():
        raise ValueError("Edges must join nodes of their graph, which are numbered from 0.")
    if not np.isin(part.labels[~np.isnan(part.labels)], (0, 1)).all():
        raise ValueError("Labels of graphs must be 0, 1 or NaN.")
