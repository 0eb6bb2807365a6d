"""Small graphs for quick tests: MUTAG and PROTEINS."""

from __future__ import annotations

import numpy as np

from recipes.datasets.folder import prepared_arrays
from recipes.datasets.graphs import GraphData, Graphs, graph_data
from recipes.datasets.ragged import Ragged
from recipes.datasets.split import Split

_ARRAYS = ("node_graph", "node_label", "graph_label", "edge_index")
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
