"""The spectral density of the Hessian."""

import dataclasses
from typing import Any

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import LinearOperator
from scipy.stats import norm

from keras_sam.memory import require_memory
from keras_sam.sharpness.estimate import Estimate
from keras_sam.sharpness.hessian import HessianOperator
from keras_sam.validation import floats, integer, positive


@dataclasses.dataclass(frozen=True)
class SpectralDensity:
    """A distribution of eigenvalues, as one Gauss quadrature for each random start.

    Args:
        nodes: Places on the real line (Ritz values), shape (num_samples, steps).
        weights: The share of the spectrum at each node, >= 0, each row summing up to 1.

    Example:

    >>> density = SpectralDensity(np.array([[0.0, 2.0]] * 2), np.array([[0.5, 0.5]] * 2))
    >>> density.moment(2).value  # (0^2 + 2^2) / 2
    2.0
    """

    nodes: np.ndarray
    weights: np.ndarray

    def moment(self, power: int) -> Estimate:
        """`tr(H^power) / n`: exact for each random start if power < 2 steps.

        Args:
            power: An int >= 0.

        Raises:
            TypeError: If it is no int.
            ValueError: If it is negative, or there are fewer than two random starts.
        """
        power = integer("power", power, least=0)
        return Estimate.of((self.weights * self.nodes**power).sum(axis=1))

    def smoothed(self, grid: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
        """The density, each eigenvalue spread to a Gaussian.

            phi(t) = sum_j weights_j N(t; nodes_j, width^2)

        Args:
            grid: Where to evaluate it, shape (m,).
            width: The standard deviation of the Gaussian, > 0, in the units of the eigenvalues.

        Returns:
            The mean over random starts, and its standard error, two arrays of shape (m,).

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If `grid` is not of one axis, or `width` not > 0.
        """
        width = positive("width", width)
        bumps = norm.pdf(floats("grid", grid), self.nodes[..., None], width)
        samples = (self.weights[..., None] * bumps).sum(axis=1)
        spread = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
        return samples.mean(axis=0), spread


def hessian_density(
    model: Any,
    data: Any = None,
    *,
    num_samples: int = 10,
    steps: int = 80,
    seed: int = 0,
    **options: Any,
) -> SpectralDensity:
    """Estimates how the eigenvalues of the Hessian of a model's loss are distributed.

    Stochastic Lanczos quadrature: for random unit vectors z, `steps` steps of the Lanczos method
    with full reorthogonalisation give a tridiagonal T with eigenpairs (theta_j, y_j), and

        (1 / n) sum_i f(lambda_i) = E[z^T f(H) z] ~ mean over z of sum_j (y_j)_1^2 f(theta_j)

    which is exact for each z if f is a polynomial of degree < 2 steps, or if steps reaches n. The
    rest is the sampling error, which `SpectralDensity` reports. It takes `num_samples * steps`
    products `H v`, of two to three gradients each. BatchNorm is in inference mode and
    regularisation losses are included, by default.

    Args:
        model: A built and compiled `keras.Model` or SAMModel; or a `LossSurface`, then no data.
        data: As for `LossSurface`.
        num_samples: The number of random vectors z, >= 2. Defaults to 10.
        steps: Lanczos steps for each, cut to the number n of weights. Defaults to 80.
        seed: Of the random vectors, an int >= 0. Same seed, same numbers. Defaults to 0.
        **options: The keyword arguments of `LossSurface`.

    Returns:
        A `SpectralDensity`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If `num_samples` is below 2; if the n x `steps` float64 matrix of Lanczos
            vectors does not fit into memory; and as for `LossSurface`.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mse")
    >>> density = hessian_density(model, (np.array([[2.0, 0.0], [0.0, 1.0]]), np.zeros((2, 1))))
    >>> sorted(set(density.nodes.ravel().round(5).tolist()))
    [1.0, 4.0]

    References:
        - Ghorbani, Krishnan and Xiao 2019, https://arxiv.org/abs/1901.10159, section 2
    """
    operator = HessianOperator(model, data, **options)
    return estimated_density(operator, num_samples, steps, seed)


def estimated_density(
    operator: LinearOperator, num_samples: int, steps: int, seed: int
) -> SpectralDensity:
    """The same for any symmetric linear operator of SciPy."""
    num_samples = integer("num_samples", num_samples, least=2)
    n = operator.shape[0]
    steps = min(integer("steps", steps, least=1), n)
    seed = integer("seed", seed, least=0)
    require_memory(8 * n * (steps + 3), "The Lanczos vectors", f"Received: `steps={steps}`")
    random = np.random.default_rng(seed)
    quadratures = [
        _quadrature(operator, random.standard_normal(n), steps) for _ in range(num_samples)
    ]
    nodes, weights = zip(*quadratures, strict=True)
    return SpectralDensity(np.array(nodes), np.array(weights))


def _quadrature(
    operator: LinearOperator, start: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the Gauss quadrature of the spectrum as seen from `start`."""
    basis = np.zeros((steps, len(start)))
    diagonal, off_diagonal = np.zeros(steps), np.zeros(steps)
    vector = start / np.linalg.norm(start)
    done = 0
    for step in range(steps):
        basis[step] = vector
        product = operator @ vector
        diagonal[step] = vector @ product
        done = step + 1
        for _ in range(2):  # Twice is enough (Kahan): orthogonal to working precision.
            product -= basis[:done].T @ (basis[:done] @ product)
        off_diagonal[step] = np.linalg.norm(product)
        scale = np.abs(diagonal[:done]).max() + off_diagonal[:done].max()
        if off_diagonal[step] <= 1e-7 * scale:  # An invariant subspace, up to float32's rounding.
            break
        vector = product / off_diagonal[step]
    values, vectors = eigh_tridiagonal(diagonal[:done], off_diagonal[: done - 1])
    rest = steps - done
    return np.pad(values, (0, rest), mode="edge"), np.pad(vectors[0] ** 2, (0, rest))
