"""Small graphs for quick tests: MUTAG, PROTEINS, and Cora's one graph of papers."""

from __future__ import annotations

import dataclasses

import numpy as np

from recipes.datasets.folder import prepared_arrays
from recipes.datasets.graphs import GraphData, Graphs, adjacency, graph_data
from recipes.datasets.ragged import Ragged
from recipes.datasets.split import Split

_ARRAYS = ("node_graph", "node_label", "graph_label", "edge_index")
_CORA = ("x_index", "x_value", "x_shape", "y", "edge_index", "train_idx", "val_idx", "test_idx")
TEST_SHARE = 0.1


def mutag(split: Split) -> GraphData:
    """Loads MUTAG: 188 molecules, mutagenic or not; `graphs/mutag.npz` in KERAS_SAM_DATA's folder.

    A tenth, chosen by `split.fixed_by`, is the test set: 19 graphs, so that one counts 5 points.

    Source: Debnath et al., Journal of Medicinal Chemistry 34, 1991.
    """
    return _benchmark("mutag", split)


def proteins(split: Split) -> GraphData:
    """Loads PROTEINS: 1,113 proteins, enzymes or not; `graphs/proteins.npz`, as `mutag`.

    Source: Borgwardt et al., Bioinformatics 21, 2005.
    """
    return _benchmark("proteins", split)


@dataclasses.dataclass(frozen=True)
class Cora:
    """Papers of seven fields that cite each other: one graph of 2,708 nodes.

    Attributes:
        inputs: "nodes" (1, 2708, 1433) and "adjacency" (1, 2708, 2708), float32.
        labels: field of each paper, int64 (2708,).
        train: numbers of the 140 papers to train on.
        validation: numbers of 500 papers.
        test: numbers of 1,000 papers.
    """

    inputs: dict[str, np.ndarray]
    labels: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def cora() -> Cora:
    """Loads Cora with the split of Yang et al.; `graphs/cora.npz` in KERAS_SAM_DATA's folder.

    Each paper's features, its words, are divided by their sum.

    Sources: Sen et al., "Collective Classification in Network Data", AI Magazine 29, 2008; Yang,
    Cohen and Salakhutdinov, ICML 2016 (the split).
    """
    arrays = prepared_arrays("graphs/cora.npz", _CORA, "Cora")
    papers, words = (int(size) for size in arrays["x_shape"])
    nodes = np.zeros((1, papers, words), np.float32)
    nodes[0, arrays["x_index"][0], arrays["x_index"][1]] = arrays["x_value"]
    nodes /= np.maximum(nodes.sum(-1, keepdims=True), 1)
    edges = arrays["edge_index"].T
    matrix = adjacency(
        Ragged(edges, np.array([len(edges)])), np.array([papers]), np.array([0]), papers
    )
    return Cora(
        {"nodes": nodes, "adjacency": matrix},
        arrays["y"],
        arrays["train_idx"],
        arrays["val_idx"],
        arrays["test_idx"],
    )


def _benchmark(name: str, split: Split) -> GraphData:
    arrays = prepared_arrays(f"graphs/{name}.npz", _ARRAYS, name.upper())
    graph, kinds = arrays["node_graph"], arrays["node_label"]
    count = len(arrays["graph_label"])
    features = np.eye(kinds.max() + 1, dtype=np.float32)[kinds]
    sizes = np.bincount(graph, minlength=count)
    ends = arrays["edge_index"].T
    of_edge = graph[ends[:, 0]]
    order = np.argsort(of_edge, kind="stable")
    first = np.cumsum(sizes) - sizes
    edges = (ends - first[of_edge][:, None])[order]
    whole = Graphs(
        Ragged(features, sizes),
        Ragged(edges, np.bincount(of_edge, minlength=count)),
        arrays["graph_label"][:, None].astype(np.float32),
    )
    shuffled = np.random.default_rng(split.fixed_by).permutation(count)
    held_out = max(round(TEST_SHARE * count), 1)
    train, test = whole.take(shuffled[held_out:]), whole.take(shuffled[:held_out])
    return graph_data(name, train, None, test, split)
