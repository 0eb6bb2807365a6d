"""Other people's implementations, where they are installed: pytorch_optimizer (SAM, GSAM, WSAM,
FriendlySAM) and optax (SAM of several ascent steps). Their norms are in float32."""

import math

import numpy as np
import pytest

from keras_sam.methods import friendly, gsam, mix
from tests.keras_sam.methods import problem
from tests.keras_sam.methods.problem import RHO, SHAPES, B, H, W

RATE, MOMENTUM, STEPS = 0.1, 0.9, 12


def torch_problem():
    torch = pytest.importorskip("torch")
    pytest.importorskip("pytorch_optimizer")

    class Net(torch.nn.Module):
        """Its output is the loss of the step that its input says."""

        def __init__(self):
            super().__init__()
            parts = np.split(W, [6])
            self.parts = torch.nn.ParameterList(
                [
                    torch.nn.Parameter(torch.tensor(part.reshape(shape)))
                    for part, shape in zip(parts, SHAPES)
                ]
            )

        def forward(self, step):
            w = torch.cat([part.reshape(-1) for part in self.parts])
            return w @ torch.tensor(H) @ w / 2 + 0.1 * (w**4).sum() + torch.tensor(B[step]) @ w

        def flat(self):
            return np.concatenate([part.detach().numpy().ravel() for part in self.parts])

    return Net()


def by_closure(net, optimizer):
    weights = []
    for step in range(STEPS):

        def closure(step=step):
            optimizer.zero_grad()
            loss = net(step)
            loss.backward()
            return loss

        closure()
        optimizer.step(closure)
        weights.append(net.flat())
    return np.array(weights)


def sgd(torch):
    return {"base_optimizer": torch.optim.SGD, "lr": RATE, "momentum": MOMENTUM}


def their_sam():
    net = torch_problem()
    import pytorch_optimizer
    import torch

    return by_closure(net, pytorch_optimizer.SAM(net.parameters(), rho=RHO, **sgd(torch)))


def their_wsam():
    net = torch_problem()
    import pytorch_optimizer
    import torch

    # gamma 0.4: coupled, it is mix(0.4 / 0.6).
    optimizer = pytorch_optimizer.WSAM(
        net, net.parameters(), rho=RHO, gamma=0.4, decouple=False, **sgd(torch)
    )
    return by_closure(net, optimizer)


def their_friendly():
    net = torch_problem()
    import pytorch_optimizer
    import torch

    optimizer = pytorch_optimizer.FriendlySAM(
        net.parameters(), rho=RHO, sigma=0.5, lmbda=0.8, **sgd(torch)
    )
    return by_closure(net, optimizer)


def their_gsam():
    net = torch_problem()
    import pytorch_optimizer
    import torch

    class Constant:
        def step(self):
            return RHO

    base = torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM)
    optimizer = pytorch_optimizer.GSAM(net.parameters(), base, net, Constant(), alpha=0.4)
    optimizer.update_rho_t()
    weights = []
    for step in range(STEPS):
        optimizer.set_closure(lambda loss, _: loss, step, None)
        optimizer.step()
        weights.append(net.flat())
    return np.array(weights)


@pytest.mark.parametrize(
    ("theirs", "method"),
    [
        (their_sam, None),
        (their_wsam, mix(0.4 / 0.6)),
        (their_friendly, friendly(0.5, 0.8)),
        (their_gsam, gsam(0.4)),
    ],
    ids=["SAM", "WSAM", "FriendlySAM", "GSAM"],
)
def test_pytorch_optimizer(theirs, method):
    expected = theirs()
    ours, _ = problem.train(method)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ascent_steps", [1, 3])
def test_optax(ascent_steps):
    pytest.importorskip("optax.contrib")
    import jax
    import jax.numpy as jnp
    import optax

    with jax.enable_x64(True):
        normalize = optax.contrib.normalize()
        adversary = optax.chain(normalize, optax.sgd(RHO / ascent_steps))
        optimizer = optax.contrib.sam(
            optax.sgd(RATE, MOMENTUM),
            adversary,
            sync_period=ascent_steps + 1,
            opaque_mode=True,
        )
        w = jnp.asarray(W)
        state = optimizer.init(w)
        expected = []
        for step in range(STEPS):

            def gradient(w, _, step=step):
                return jnp.asarray(H) @ w + 0.4 * w**3 + jnp.asarray(B[step])

            updates, state = optimizer.update(gradient(w, 0), state, w, grad_fn=gradient)
            w = optax.apply_updates(w, updates)
            expected.append(np.asarray(w))
    ours, _ = problem.train(ascent_steps=ascent_steps)
    assert math.isfinite(np.sum(expected))
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-10)
