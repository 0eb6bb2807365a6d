"""Self-attention made of plain Dense layers."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from recipes.networks.dense import dense
from recipes.networks.dropout import dropout as drop


def self_attention(
    x: Any,
    heads: int,
    name: str,
    seed: int,
    *,
    present: Any = None,
    use_bias: bool = True,
    dropout: float = 0.0,
) -> Any:
    """Lets each token of a sequence look at all of them; d / heads numbers in each head.

        softmax(q k^T / sqrt(d / heads)) v        for each head; then one more kernel

    Query, key, value and output are Dense layers: kernels then have the fan-in that the initialiser
    expects, and the pruners see them as what they are.

    Args:
        x: tokens, (batch, tokens, d); `heads` divides d.
        heads: attention heads.
        name: the layers are named "{name}_query", "{name}_key", "{name}_value", "{name}_output".
        seed: the network's seed.
        present: which tokens there are, bool (batch, tokens); the others are not looked at.
            Default `None`, all.
        use_bias: whether the Dense layers have biases.
        dropout: share of the attention weights that training drops, default 0.

    Returns:
        (batch, tokens, d).

    Example:

    ```python
    y = self_attention(keras.Input((None, 64)), heads=8, name="block1", seed=0)
    ```

    Reference: Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.2.
    """
    dim = x.shape[-1]
    head_dim = dim // heads

    def project(role: str) -> Any:
        y = dense(dim, f"{name}_{role}", seed, use_bias=use_bias)(x)
        return layers.Reshape((-1, heads, head_dim), name=f"{name}_{role}_heads")(y)

    query, key, value = project("query"), project("key"), project("value")
    # Scaling the query keeps the scores small enough for 16 bits; the softmax is never in 16 bits.
    scores = ops.einsum("bqhd,bkhd->bhqk", query * head_dim**-0.5, key)
    precise = keras.config.dtype_policy().variable_dtype
    softmax = layers.Softmax(dtype=precise, name=f"{name}_softmax")
    if present is None:
        weights = softmax(scores)
    else:
        weights = softmax(scores, mask=ops.expand_dims(present, (1, 2)))
    weights = ops.cast(weights, value.dtype)
    if dropout:
        weights = drop(dropout, f"{name}_attention_dropout", seed)(weights)
    y = ops.einsum("bhqk,bkhd->bqhd", weights, value)
    y = layers.Reshape((-1, dim), name=f"{name}_concatenate")(y)
    return dense(dim, f"{name}_output", seed, use_bias=use_bias)(y)
