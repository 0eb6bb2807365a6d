"""Twelve steps of every method, in float64, against the same in NumPy."""

import numpy as np
import pytest

from keras_sam import Every, Late
from keras_sam.methods import ae_sam, friendly, gsam, looksam, mix, msam, vasso
from keras_sam.perturbation import unnormalized
from tests.keras_sam.methods import problem, reference
from tests.keras_sam.methods.problem import RHO, B, H, W

METHODS = {
    "sam": (None, reference.SAM, {}),
    "gsam": (gsam(0.4), lambda: reference.GSAM(0.4), {}),
    "mix": (mix(0.7), lambda: reference.Mix(0.7), {}),
    "looksam": (
        looksam(0.5),
        lambda: reference.LookSAM(0.5),
        {"rho": (Every(RHO, 4), reference.every(RHO, 4))},
    ),
    "looksam late": (
        looksam(0.5),
        lambda: reference.LookSAM(0.5),
        {"rho": (Late(Every(RHO, 3), 5), lambda t: reference.every(RHO, 3)(t) * (t >= 5))},
    ),
    "friendly": (friendly(0.8, 0.7), lambda: reference.Friendly(0.8, 0.7), {}),
    "friendly, switching": (
        friendly(1.0, 0.8),
        lambda: reference.Friendly(1.0, 0.8),
        {"rho": (Every(RHO, 3), reference.every(RHO, 3))},
    ),
    "vasso": (vasso(0.4), lambda: reference.VaSSO(0.4), {}),
    "msam": (msam(0.9), lambda: reference.MSAM(0.9), {}),
    "ae_sam": (ae_sam(0.5, 0.7), lambda: reference.AESAM(0.5, 0.7), {}),
    "every": (None, reference.SAM, {"rho": (Every(RHO, 3), reference.every(RHO, 3))}),
    "late": (None, reference.SAM, {"rho": (Late(RHO, 6), reference.late(RHO, 6))}),
    "3 steps": (None, reference.SAM, {"ascent_steps": (3, 3)}),
}


def expected(name, **options):
    _, make, settings = METHODS[name]
    theirs = {"rho": RHO, **{key: value[1] for key, value in settings.items()}, **options}
    return reference.trajectory(make(), problem.gradient, W, steps=12, **theirs)


SLOW_ON_JAX = {"gsam", "mix", "friendly", "vasso", "every", "late", "looksam late"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow)
        if problem.BACKEND == "jax" and name in SLOW_ON_JAX
        else name
        for name in METHODS
    ],
)
def test_equals_numpy(name):
    method, _, settings = METHODS[name]
    weights, _ = problem.train(method, **{key: value[0] for key, value in settings.items()})
    np.testing.assert_allclose(weights, expected(name), rtol=1e-10, atol=1e-11)


def test_methods_differ():
    """That they agree with NumPy says something only if each does something."""
    ends = {name: expected(name)[-1] for name in METHODS}
    ends["plain"] = reference.trajectory(reference.SAM(), problem.gradient, W, 0.0, 12)[-1]
    names = list(ends)
    for i, name in enumerate(names):
        for other in names[:i]:
            assert np.abs(ends[name] - ends[other]).max() > 1e-3, (name, other)


def test_ae_sam_switches():
    method = reference.AESAM(0.5, 0.7)
    w, radii = W, []
    for step in range(12):
        radii.append(method.radius(1.0, problem.gradient(w, step)))
    assert 0 < sum(radii) < 12


def test_momentum_ahead_is_nesterov():
    """msam, unnormalized, rho = learning rate * decay: torch's Nesterov, w apart by lr decay v."""
    if problem.BACKEND != "torch":
        pytest.skip("the oracle is PyTorch's, slow to import elsewhere")
    import torch

    learning_rate, decay = 0.05, 0.9
    ours, _ = problem.train(
        msam(decay),
        rho=learning_rate * decay,
        learning_rate=learning_rate,
        momentum=decay,
        perturbation=unnormalized,
    )
    w = torch.tensor(W, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=learning_rate, momentum=decay, nesterov=True)
    for step in range(12):
        w.grad = torch.tensor(H) @ w.detach() + 0.4 * w.detach() ** 3 + torch.tensor(B[step])
        optimizer.step()
        velocity = optimizer.state[w]["momentum_buffer"]
        ahead = w.detach() + learning_rate * decay * velocity
        np.testing.assert_allclose(ours[step], ahead.numpy(), rtol=1e-10, atol=1e-11)


# Other people's code, where it is installed. It has norms in float32, or another epsilon.

PEERS = {
    "sam": ("SAM", {}, 1e-6),
    "gsam": ("GSAM", {"alpha": 0.4}, 1e-6),
    "friendly": ("FriendlySAM", {"sigma": 0.8, "lmbda": 0.7}, 1e-6),
}


@pytest.mark.parametrize("name", PEERS)
def test_equals_pytorch_optimizer(name):
    peers = pytest.importorskip("pytorch_optimizer")
    if problem.BACKEND != "torch":
        pytest.skip("the oracle is PyTorch's, slow to import elsewhere")
    import torch

    kind, options, tolerance = PEERS[name]
    w = torch.tensor(W, requires_grad=True)
    if kind == "GSAM":
        pytest.skip("wants a model and a scheduler")
    optimizer = getattr(peers, kind)([w], torch.optim.SGD, rho=RHO, lr=0.1, momentum=0.9, **options)
    theirs = []
    for step in range(12):

        def set_gradient(step=step):
            at = w.detach()
            w.grad = torch.tensor(H) @ at + 0.4 * at**3 + torch.tensor(B[step])

        set_gradient()
        optimizer.first_step(zero_grad=True)
        set_gradient()
        optimizer.second_step(zero_grad=True)
        theirs.append(w.detach().numpy().copy())
    np.testing.assert_allclose(theirs, expected(name), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("ascent_steps", [1, 2, 4])
def test_equals_optax(ascent_steps):
    optax = pytest.importorskip("optax")
    if problem.BACKEND != "jax":
        pytest.skip("in float64, which JAX must be asked for")
    import jax

    with problem.double():
        adversary = optax.chain(optax.contrib.normalize(), optax.sgd(RHO / ascent_steps))
        optimizer = optax.contrib.sam(
            optax.sgd(0.1, momentum=0.9),
            adversary,
            sync_period=ascent_steps + 1,
            opaque_mode=True,
            reset_state=True,
        )
        w = jax.numpy.asarray(W)
        state = optimizer.init(w)
        theirs = []
        for step in range(12):

            def gradient(at, _, step=step):
                return H @ at + 0.4 * at**3 + B[step]

            updates, state = optimizer.update(gradient(w, 0), state, w, grad_fn=gradient)
            w = optax.apply_updates(w, updates)
            theirs.append(np.asarray(w))
    ours = reference.trajectory(
        reference.SAM(), problem.gradient, W, RHO, 12, ascent_steps=ascent_steps
    )
    np.testing.assert_allclose(theirs, ours, rtol=1e-9, atol=1e-9)
