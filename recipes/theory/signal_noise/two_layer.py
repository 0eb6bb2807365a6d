"""A two-layer convolutional network on a signal and noise, in coordinates that know no dimension.

The data (Chen et al. 2023). An example with the true label y has two patches, `y mu` and `xi`, with
`xi ~ N(0, I - mu mu^T / ||mu||^2)` in d dimensions; the label that is trained on is flipped with a
probability. The network has m filters for each class j = +1, -1, with fixed output weights:

    f(x) = F_(+1)(x) - F_(-1)(x)     F_j(x) = 1/m sum_r relu(<w_jr, y mu>) + relu(<w_jr, xi>)

trained on the whole set of n examples with the logistic loss `mean log(1 + exp(-y f(x)))`.

The coordinates. Gradients lie in the span of mu and xi_1, ..., xi_n, so that every filter is

    w_r = w_r(0) + a_r mu + sum_i c_ri xi_i

and all that the loss needs is, with the Gram matrix `G_ij = <xi_i, xi_j>`,

    p_r = <w_r, mu> = p_r(0) + a_r ||mu||^2         Q_ri = <w_r, xi_i> = Q_ri(0) + (c G)_ri

The gradient with respect to w_r is `u_r mu + sum_i v_ri xi_i`, of squared length
`u_r^2 ||mu||^2 + v_r G v_r^T`, so that SAM's step, too, is one of the pairs (a, c). On a new
example `<w_r, xi>` is normal with the covariance of the filters' parts orthogonal to mu,

    K = W0 W0^T + Q(0) c^T + c Q(0)^T + c G c^T

All of this is exact, and its cost does not depend on d.

Source: Chen et al. 2023, "Why Does Sharpness-Aware Minimization Generalize Better Than SGD?",
https://arxiv.org/abs/2310.07269 (data and network; the coordinates are ours).
"""

import dataclasses
from typing import NamedTuple

import numpy as np

Array = np.ndarray


class Filters(NamedTuple):
    """Coordinates of the filters, or of a gradient: along mu (..., 2m), along xi (..., 2m, n)."""

    signal: Array
    noise: Array

    def at(self, which: Array) -> "Filters":
        """Those of some networks."""
        return Filters(self.signal[which], self.noise[which])

    def moved(self, by: "Filters", length: Array) -> "Filters":
        """These plus `length` times others; one length for each network."""
        return Filters(
            self.signal + length[..., None] * by.signal,
            self.noise + length[..., None, None] * by.noise,
        )


@dataclasses.dataclass(frozen=True)
class Task:
    """Many networks with their data, along the first axis; 2m filters, the first m of class +1.

    Attributes:
        strength: `||mu||^2`, (N,).
        true: The labels of which the signal tells, +1 or -1, (N, n).
        labels: Those that are trained on.
        gram: G, (N, n, n).
        start_signal: p(0), (N, 2m).
        start_noise: Q(0), (N, 2m, n).
        start_gram: `W0 W0^T` orthogonal to mu, (N, 2m, 2m).
    """

    strength: Array
    true: Array
    labels: Array
    gram: Array
    start_signal: Array
    start_noise: Array
    start_gram: Array

    def at(self, which: Array) -> "Task":
        """Some of the networks."""
        return Task(*(getattr(self, field.name)[which] for field in dataclasses.fields(self)))

    @property
    def sign(self) -> Array:
        """+1 for the filters of class +1, -1 for the others, over m: the output weights."""
        m = self.start_signal.shape[-1] // 2
        return np.repeat([1.0, -1.0], m) / m

    def start(self) -> Filters:
        """The coordinates of the initial filters: 0."""
        return Filters(np.zeros_like(self.start_signal), np.zeros_like(self.start_noise))

    def products(self, filters: Filters) -> tuple[Array, Array]:
        """p (N, 2m) and Q (N, 2m, n)."""
        return (
            self.start_signal + filters.signal * self.strength[:, None],
            self.start_noise + filters.noise @ self.gram,
        )

    def loss_and_gradient(self, filters: Filters) -> tuple[Array, Filters]:
        """The training loss (N,), and the gradient's coordinates u and v."""
        p, q = self.products(filters)
        on_signal = p[:, :, None] * self.true[:, None]
        active = self.sign[:, None] * (on_signal > 0), self.sign[:, None] * (q > 0)
        output = (active[0] * on_signal + active[1] * q).sum(axis=1)
        margin = self.labels * output
        # d/df of log(1 + exp(-y f)) is -y / (1 + exp(y f)).
        slope = -self.labels / (1 + np.exp(margin)) / self.labels.shape[1]
        return np.logaddexp(0, -margin).mean(axis=1), Filters(
            (active[0] * (slope * self.true)[:, None]).sum(axis=2), active[1] * slope[:, None]
        )

    def norm(self, direction: Filters) -> Array:
        """The length of a direction in weight space, (N,)."""
        u, v = direction
        squares = (u**2).sum(axis=1) * self.strength + ((v @ self.gram) * v).sum(axis=(1, 2))
        return np.sqrt(np.maximum(squares, 0))

    def sam_step(self, filters: Filters, eta: Array, rho: Array) -> tuple[Array, Filters]:
        """The loss before a step of normalised SAM, and the filters after it; rho 0 is SGD."""
        loss, gradient = self.loss_and_gradient(filters)
        ascended = filters.moved(gradient, rho / (self.norm(gradient) + 1e-12))
        return loss, filters.moved(self.loss_and_gradient(ascended)[1], -eta)

    def noise_covariance(self, filters: Filters) -> Array:
        """K, (N, 2m, 2m)."""
        mixed = self.start_noise @ filters.noise.swapaxes(1, 2)
        return (
            self.start_gram
            + mixed
            + mixed.swapaxes(1, 2)
            + filters.noise @ self.gram @ filters.noise.swapaxes(1, 2)
        )

    def test_error(self, filters: Filters, draws: int, seed: int) -> Array:
        """The share of new examples whose true label is missed, (N,).

        Args:
            filters: Their coordinates.
            draws: New patches of noise, each tried with both labels.
            seed: Fixes them.
        """
        normal = np.random.default_rng(seed).normal(size=(self.start_signal.shape[1], draws))
        p, _ = self.products(filters)
        errors = []
        for p_of_one, covariance in zip(p, self.noise_covariance(filters), strict=True):
            values, vectors = np.linalg.eigh(covariance)
            xi = (vectors * np.sqrt(np.maximum(values, 0))) @ normal
            from_noise = self.sign @ np.maximum(xi, 0)
            misses = [
                np.mean(y * (self.sign @ np.maximum(y * p_of_one, 0) + from_noise) <= 0)
                for y in (1, -1)
            ]
            errors.append(np.mean(misses))
        return np.array(errors)


def draw(
    signal: float, dimension: int, width: int, examples: int, flips: float, scale: float, seed: int
) -> Task:
    """Draws data and initial filters of one network, in d dimensions, and takes the products.

    Args:
        signal: `||mu||`, > 0.
        dimension: d, >= 2.
        width: m, filters for each class.
        examples: n.
        flips: Probability that a label is the wrong one.
        scale: Standard deviation of the initial weights.
        seed: Fixes all; whatever the signal, noise and filters are the same.

    Returns:
        A task with one network, N = 1.
    """
    true, labels, noise, filters = vectors(dimension, width, examples, flips, scale, seed)
    # mu lies along the first axis.
    across = filters[:, 1:]
    return Task(
        strength=np.array([signal**2]),
        true=true[None],
        labels=labels[None],
        gram=(noise @ noise.T)[None],
        start_signal=(signal * filters[:, 0])[None],
        start_noise=(across @ noise.T)[None],
        start_gram=(across @ across.T)[None],
    )


def vectors(
    dimension: int, width: int, examples: int, flips: float, scale: float, seed: int
) -> tuple[Array, Array, Array, Array]:
    """True and trained labels, xi orthogonal to mu (n, d - 1), and initial filters (2m, d)."""
    rng = np.random.default_rng(seed)
    true = rng.choice([-1.0, 1.0], size=examples)
    labels = np.where(rng.random(examples) < flips, -true, true)
    noise = rng.normal(size=(examples, dimension - 1))
    return true, labels, noise, scale * rng.normal(size=(2 * width, dimension))


def stack(tasks: list[Task]) -> Task:
    """Tasks of one width and number of examples as one."""
    return Task(
        *(
            np.concatenate([getattr(task, field.name) for task in tasks])
            for field in dataclasses.fields(Task)
        )
    )
