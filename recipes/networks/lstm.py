"""A bidirectional LSTM with attention, scaled in width by its hidden units a direction."""

from __future__ import annotations

import keras
from keras import layers, ops

from recipes.networks.checks import check_dropout, check_sizes
from recipes.networks.dense import dense, logits
from recipes.networks.dropout import dropout as drop
from recipes.networks.embedding import Embedding
from recipes.networks.initializers import layer_seed, lecun_normal


def lstm(
    hidden: int = 128,
    *,
    vocabulary: int,
    embedding_dim: int = 300,
    embedding_trainable: bool = True,
    dropout: float = 0.5,
    seed: int = 0,
) -> keras.Model:
    """Builds a classifier of sentences into two classes.

    With s[t] the states of both directions side by side, 2 h numbers, and w a vector of h,

        attention[t] = softmax over the sentence's words of  w . tanh(K s[t])
        logit        = v . tanh(W sum over t of attention[t] s[t] + b)

    With h hidden units and e = `embedding_dim` there are 12 h^2 + (8 e + 11) h parameters and the
    embedding's `vocabulary` e. Without the embedding, for e = 300 (the paper's sizes; it does not
    say the widths, and only the first and the last are round):

    | hidden | 128 | 220 | 368 | 602 | 818 | 1024 |
    |---|---|---|---|---|---|---|
    | parameters | 505,216 | 1,111,220 | 2,512,336 | 5,800,270 | 10,001,686 | 15,051,776 |

    Args:
        hidden: h, hidden units of each direction, of the attention and of the last hidden layer.
        vocabulary: numbers that stand for words; 0 is padding, behind a sentence's words.
        embedding_dim: numbers a word, default 300.
        embedding_trainable: whether the embedding is trained. If it is, it takes part in SAM's
            perturbation, and where it is larger than the rest it is most of the gradient's norm.
        dropout: share of the embedding, of s, of its mean and of the last hidden layer that
            training drops, default 0.5.
        seed: fixes every initial weight and the dropout, an integer >= 0.

    Returns:
        A functional `keras.Model` from int32 (batch, words) to one logit each, (batch, 1). Layers
        are named "embedding", "lstm", "attention_keys", "attention_scores", "hidden", "logits".

    Raises:
        ValueError: a size is no integer >= 1; `dropout` is out of range; `seed` is no integer >= 0.

    Example:

    ```python
    model = lstm(hidden=128, vocabulary=14_819)
    ```

    References: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; Bahdanau, Cho and
    Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate", ICLR 2015,
    section 3.1 (attention); arXiv 2311.17539, the SST-2 workload.
    """
    check_sizes(hidden=hidden, vocabulary=vocabulary, embedding_dim=embedding_dim)
    check_dropout(dropout)

    words = keras.Input((None,), dtype="int32", name="words")
    x = Embedding(
        vocabulary,
        embedding_dim,
        mask_zero=True,
        embeddings_initializer=keras.initializers.RandomNormal(
            stddev=0.1, seed=layer_seed(seed, "embedding")
        ),
        trainable=embedding_trainable,
        name="embedding",
    )(words)
    x = drop(dropout, "embedding_dropout", seed)(x)
    states = layers.Bidirectional(
        _direction(hidden, "forward", seed),
        backward_layer=_direction(hidden, "backward", seed),
        name="lstm",
    )(x)
    states = drop(dropout, "states_dropout", seed)(states)
    keys = dense(hidden, "attention_keys", seed, use_bias=False, activation="tanh")(states)
    scores = dense(1, "attention_scores", seed, use_bias=False)(keys)
    # The softmax over the words is never in 16 bits.
    softmax = layers.Softmax(dtype=keras.config.dtype_policy().variable_dtype, name="attention")
    attention = softmax(ops.squeeze(scores, -1), mask=ops.not_equal(words, 0))
    x = ops.einsum("bt,bts->bs", ops.cast(attention, states.dtype), states)
    x = drop(dropout, "mean_dropout", seed)(x)
    x = dense(hidden, "hidden", seed, activation="tanh")(x)
    x = drop(dropout, "hidden_dropout", seed)(x)
    return keras.Model(words, logits(1, seed, use_bias=False)(x), name="lstm")


def _direction(hidden: int, name: str, seed: int) -> keras.layers.LSTM:
    return layers.LSTM(
        hidden,
        return_sequences=True,
        go_backwards=name == "backward",
        kernel_initializer=lecun_normal(seed, name),
        recurrent_initializer=keras.initializers.Orthogonal(
            seed=layer_seed(seed, f"{name}_recurrent")
        ),
        unit_forget_bias=False,
        seed=seed,  # Of a dropout that is not used, but whose state is saved.
        name=name,
    )
