"""A graph convolutional network with pooling, scaled in width by its latent dimension."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from recipes.networks.checks import check_dropout, check_sizes
from recipes.networks.dense import dense, logits
from recipes.networks.dropout import dropout as drop


def graph_convolution(
    latent: int = 256,
    *,
    features: int = 9,
    outputs: int = 128,
    steps: int = 5,
    dropout: float = 0.1,
    pool: bool = True,
    seed: int = 0,
) -> keras.Model:
    """Builds a network over graphs; only `latent` grows with width.

    Graphs of a batch are padded to one number of nodes. A[i, j] is the adjacency with an edge from
    each node to itself, normalised: 1 / sqrt(degree i * degree j) where there is an edge. Node
    features become `latent` numbers by one Dense layer; each of `steps` steps is

        x <- LN(x + A f(x)),    f two Dense layers with ReLU and dropout

    and the mean over a graph's nodes goes to the logits. With L = `latent`, F features and T
    outputs there are, for 5 steps,

        10 L^2 + (21 + F) L + T (L + 1)

    parameters: for F = 9 and T = 128 the paper's sizes, 184,192, 695,936 and 2,702,464 at
    L = 128, 256, 512. A is a dense matrix, so a batch is split and mapped over as any other, and
    nothing but matrix products has to be differentiated.

    Args:
        latent: L.
        features: F, numbers a node.
        outputs: T, numbers a graph.
        steps: how many edges far a node sees, default 5.
        dropout: share of f's units that training drops, default 0.1.
        pool: whether outputs are of graphs; if not, of nodes.
        seed: fixes every initial weight and the dropout, an integer >= 0.

    Returns:
        A functional `keras.Model` from {"nodes": (batch, nodes, features), "adjacency": (batch,
        nodes, nodes), "pooling": (batch, nodes)} to logits (batch, outputs), or (batch, nodes,
        outputs). "pooling" holds 1 / n at each of a graph's n nodes, 0 at the others. Layers are
        named "embedding", "step1_dense1", "step1_dense2", "step1_norm", ..., "logits".

    Raises:
        ValueError: a size is no integer >= 1; `dropout` is out of range; `seed` is no integer >= 0.

    Example:

    ```python
    model = graph_convolution(latent=128, features=9, outputs=128)
    ```

    References: Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional
    Networks", ICLR 2017, equation 2; Hu et al., "Open Graph Benchmark", NeurIPS 2020;
    arXiv 2311.17539, the molecules workload.
    """
    check_sizes(latent=latent, features=features, outputs=outputs, steps=steps)
    check_dropout(dropout)
    nodes = keras.Input((None, features), name="nodes")
    adjacency = keras.Input((None, None), name="adjacency")
    pooling = keras.Input((None,), name="pooling")
    x = dense(latent, "embedding", seed)(nodes)
    for index in range(steps):
        name = f"step{index + 1}"
        y = x
        for layer in (f"{name}_dense1", f"{name}_dense2"):
            y = dense(latent, layer, seed, activation="relu")(y)
            y = drop(dropout, f"{layer}_dropout", seed)(y)
        y = ops.matmul(ops.cast(adjacency, y.dtype), y)
        x = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(x + y)
    if pool:
        x = ops.einsum("bn,bnl->bl", ops.cast(pooling, x.dtype), x)
    inputs: dict[str, Any] = {"nodes": nodes, "adjacency": adjacency}
    if pool:
        inputs["pooling"] = pooling
    return keras.Model(inputs, logits(outputs, seed)(x), name="graph_convolution")
