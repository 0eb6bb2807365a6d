"""What trains the networks of recipes.theory, against NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from recipes.theory.training import Member, train

EXAMPLES, BATCH, EPOCHS, RATE = 5, 2, 3, 0.125
MEMBERS = [Member(seed, rho) for seed in (3, 1) for rho in (0.0, 0.25)]


def examples(seed, count=EXAMPLES):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(count, 3)), rng.normal(size=(count, 1))
    return x.astype("float32"), y.astype("float32")


def held_out(seed):
    return examples(100 + seed, 4)


def build(seed):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.full((3, 1), 0.5 + seed)])
    return model


def trained(members, **changes):
    arguments = {"batch_size": BATCH, "epochs": EPOCHS, "held_out": {"new": held_out}, **changes}
    runs = train(
        build,
        members,
        examples,
        lambda: keras.optimizers.SGD(RATE),
        lambda y, z: ops.sum(ops.square(z - y), axis=-1) / 2,
        **arguments,
    )
    return {m: (model.get_weights()[0][:, 0], curves) for m, model, curves in runs}


def in_numpy(member, shuffle=True, normalize=True):
    """Linear regression by SAM: the weights at the end, and the losses of each epoch."""
    x, y = (part.astype(float) for part in examples(member.seed))
    new_x, new_y = (part.astype(float) for part in held_out(member.seed))
    w, rng = np.full(3, 0.5 + member.seed), np.random.RandomState(member.seed)
    curves = {"loss": [], "new": []}
    for _ in range(EPOCHS):
        order = rng.permutation(EXAMPLES) if shuffle else np.arange(EXAMPLES)
        total = 0.0
        for first in range(0, EXAMPLES, BATCH):
            a, b = x[order[first : first + BATCH]], y[order[first : first + BATCH], 0]
            g = a.T @ (a @ w - b) / len(b)
            total += np.sum((a @ w - b) ** 2) / 2
            e = member.rho * g / (np.linalg.norm(g) if normalize else 1)
            w = w - RATE * a.T @ (a @ (w + e) - b) / len(b)
        curves["loss"].append(total / EXAMPLES)
        curves["new"].append(np.mean((new_x @ w - new_y[:, 0]) ** 2) / 2)
    return w, curves


@pytest.mark.parametrize(
    "changes", [{}, {"shuffle": False}, {"normalize": False}, {"together": False}], ids=str
)
def test_members_with_data_of_their_own_are_those_in_numpy(changes):
    """Five examples in batches of two, the last one smaller; no one's depend on who was before."""
    found = trained(MEMBERS, **changes)
    assert list(found) == MEMBERS
    known = {name: value for name, value in changes.items() if name != "together"}
    for member, (weights, curves) in found.items():
        expected, expected_curves = in_numpy(member, **known)
        np.testing.assert_allclose(weights, expected, rtol=2e-5, atol=2e-6)
        assert curves.keys() == expected_curves.keys()
        for name, values in curves.items():
            np.testing.assert_allclose(values, expected_curves[name], rtol=2e-5, err_msg=name)
