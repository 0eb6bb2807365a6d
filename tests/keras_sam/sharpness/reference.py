"""An independent computation in NumPy and float64: a perceptron, its loss, its dense Hessians."""

import keras
import numpy as np

INPUTS, HIDDEN, OUTPUTS, EXAMPLES = 3, 4, 2, 9
SIZE = INPUTS * HIDDEN + HIDDEN + HIDDEN * OUTPUTS + OUTPUTS
SHAPES = [(INPUTS, HIDDEN), (HIDDEN,), (HIDDEN, OUTPUTS), (OUTPUTS,)]


def examples(seed=0, labels=False):
    """Inputs, and targets or integer labels."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(EXAMPLES, INPUTS))
    y = random.normal(size=(EXAMPLES, OUTPUTS))
    return (x, y.argmax(axis=1)) if labels else (x, y)


def weights(seed=0):
    """All weights as one vector, in the order of the model's variables."""
    return np.random.default_rng(seed + 100).normal(size=SIZE)


def split(vector):
    """The vector as the model's arrays."""
    ends = np.cumsum([int(np.prod(shape)) for shape in SHAPES])
    return [p.reshape(s) for p, s in zip(np.split(vector, ends[:-1]), SHAPES, strict=True)]


def perceptron(vector, loss="mse"):
    """The same network in Keras, with these weights."""
    model = keras.Sequential(
        [
            keras.Input((INPUTS,)),
            keras.layers.Dense(HIDDEN, activation="tanh"),
            keras.layers.Dense(OUTPUTS),
        ]
    )
    model.set_weights(split(vector))
    model.compile(loss=loss)
    return model


def loss(vector, x, y):
    """Mean squared error, or cross-entropy from logits if y holds labels; mean over examples."""
    w1, b1, w2, b2 = split(vector)
    z = np.tanh(x @ w1 + b1) @ w2 + b2
    if y.ndim == 2:
        return ((z - y) ** 2).mean()
    log_partition = np.log(np.exp(z).sum(axis=1))
    return (log_partition - z[np.arange(len(y)), y]).mean()


def gradient(vector, x, y):
    """Of `loss`, derived by hand."""
    w1, b1, w2, b2 = split(vector)
    h = np.tanh(x @ w1 + b1)
    z = h @ w2 + b2
    if y.ndim == 2:
        dz = 2 * (z - y) / y.size
    else:
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        dz = (p - np.eye(OUTPUTS)[y]) / len(y)
    dh = dz @ w2.T * (1 - h**2)
    parts = [x.T @ dh, dh.sum(axis=0), h.T @ dz, dz.sum(axis=0)]
    return np.concatenate([part.ravel() for part in parts])


def hessian(vector, x, y, step=1e-5):
    """Dense, by central differences of the gradient: right to about 1e-9."""
    rows = [
        (gradient(vector + step * e, x, y) - gradient(vector - step * e, x, y)) / (2 * step)
        for e in np.eye(len(vector))
    ]
    matrix = np.array(rows)
    return (matrix + matrix.T) / 2


def example_hessians(vector, x, y):
    """One dense Hessian for each example, shape (EXAMPLES, SIZE, SIZE)."""
    return np.array([hessian(vector, x[i : i + 1], y[i : i + 1]) for i in range(len(x))])
