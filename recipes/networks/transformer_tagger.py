"""A Transformer that labels each word of a sentence, scaled in width by its dimension."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from recipes.networks.attention import self_attention
from recipes.networks.checks import check_dropout, check_sizes
from recipes.networks.dense import dense, logits
from recipes.networks.dropout import dropout as drop
from recipes.networks.embedding import Embedding
from recipes.networks.initializers import layer_seed
from recipes.networks.sinusoidal_positions import SinusoidalPositions


def transformer_tagger(
    dim: int = 512,
    *,
    vocabulary: int,
    tags: int,
    depth: int = 6,
    heads: int = 8,
    max_length: int = 256,
    dropout: float = 0.3,
    seed: int = 0,
) -> keras.Model:
    """Builds a pre-norm Transformer encoder; only `dim` grows with width, depth is fixed.

    Words become `dim` numbers, to which sinusoidal positions are added. Each of `depth` blocks is

        x <- x + attention(LN(x))                   without biases, over the words alone
        x <- x + W2 ELU(W1 LN(x) + b1) + b2         with 4 dim units between

    and LN(x) of each word goes to the logits. With V words and T tags and depth 6 there are

        72 dim^2 + (V + T + 56) dim + T

    parameters; V + T of about 34,060 gives the paper's 5.5, 13.5, 23.7, 36.3 and 51.3 million at
    dim = 128, 256, 384, 512, 640. Kernels start from LeCun normal, as in the other networks.

    Args:
        dim: width, a multiple of `heads`.
        vocabulary: V, numbers that stand for words; 0 is padding, behind a sentence's words.
        tags: T, number of labels.
        depth: number of blocks, default 6.
        heads: attention heads, default 8.
        max_length: words of the longest sentence that may come, default 256.
        dropout: share of the embedding, the attention weights and the outputs of both halves of
            a block that training drops, default 0.3.
        seed: fixes every initial weight and the dropout, an integer >= 0.

    Returns:
        A functional `keras.Model` from int32 (batch, words) to logits (batch, words, tags). Layers
        are named "embedding", "positions", "block1_query", ..., "block1_mlp1", ..., "logits".

    Raises:
        ValueError: `heads` does not divide `dim`; a size is no integer >= 1; `dropout` is out of
            range; `seed` is no integer >= 0.

    Example:

    ```python
    model = transformer_tagger(dim=128, vocabulary=33_951, tags=109)
    ```

    References: Vaswani et al., "Attention Is All You Need", NeurIPS 2017; Xiong et al., "On Layer
    Normalization in the Transformer Architecture", ICML 2020 (pre-norm); arXiv 2311.17539, the
    part-of-speech workload.
    """
    check_sizes(
        dim=dim, vocabulary=vocabulary, tags=tags, depth=depth, heads=heads, max_length=max_length
    )
    check_dropout(dropout)
    if dim % heads:
        raise ValueError(
            f"`dim` must be a multiple of `heads`. Received: `dim={dim}`, `heads={heads}`"
        )

    def dropped(x: Any, name: str) -> Any:
        return drop(dropout, f"{name}_dropout", seed)(x)

    words = keras.Input((None,), dtype="int32", name="words")
    present = ops.not_equal(words, 0)
    x = Embedding(
        vocabulary,
        dim,
        embeddings_initializer=keras.initializers.RandomNormal(
            stddev=dim**-0.5, seed=layer_seed(seed, "embedding")
        ),
        name="embedding",
    )(words)
    x = dropped(x, "embedding")
    x = SinusoidalPositions(max_length, name="positions")(x)
    for index in range(depth):
        name = f"block{index + 1}"
        y = self_attention(
            _layer_norm(x, f"{name}_norm1"),
            heads,
            name,
            seed,
            present=present,
            use_bias=False,
            dropout=dropout,
        )
        x = layers.Add(name=f"{name}_add1")([x, dropped(y, f"{name}_output")])
        y = _layer_norm(x, f"{name}_norm2")
        y = dense(4 * dim, f"{name}_mlp1", seed, activation="elu")(y)
        y = dropped(y, f"{name}_mlp1")
        y = dropped(dense(dim, f"{name}_mlp2", seed)(y), f"{name}_mlp2")
        x = layers.Add(name=f"{name}_add2")([x, y])
    x = _layer_norm(x, "norm")
    return keras.Model(words, logits(tags, seed)(x), name="transformer_tagger")


def _layer_norm(x: Any, name: str) -> Any:
    return layers.LayerNormalization(epsilon=1e-6, name=name)(x)
