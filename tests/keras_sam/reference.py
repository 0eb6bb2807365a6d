"""SAM in NumPy, for a linear model with squared loss: what every backend is compared with.

L(W, b) = mean over examples and outputs of (x W + b - y)^2, examples weighted by s
"""

import numpy as np

EPSILON = 1e-12
ETA = 0.01


def gradients(weights, x, y, sample_weight=None, l2=0.0):
    """Gradients of L + l2 * sum(W^2), in float64, for weights [W, b] or [W]."""
    kernel = weights[0]
    bias = weights[1] if len(weights) > 1 else 0.0
    scale = np.ones(len(x)) if sample_weight is None else sample_weight
    residual = 2.0 * (x @ kernel + bias - y) * scale[:, None] / y.size
    return [x.T @ residual + 2.0 * l2 * kernel, residual.sum(axis=0)][: len(weights)]


def loss(weights, x, y):
    bias = weights[1] if len(weights) > 1 else 0.0
    return np.mean((x @ weights[0] + bias - y) ** 2)


def norm(tensors):
    return np.sqrt(sum(np.sum(t**2) for t in tensors))


def perturbation(weights, grads, rho, normalize=True, adaptive=False):
    scales = [np.abs(w) + ETA if adaptive else np.ones_like(w) for w in weights]
    length = norm([t * g for t, g in zip(scales, grads)]) + EPSILON if normalize else 1.0
    return [rho * t**2 * g / length for t, g in zip(scales, grads)]


def sam_gradients(weights, x, y, rho, masks=None, normalize=True, adaptive=False, **kwargs):
    masks = masks or [np.ones_like(w) for w in weights]
    weights = [w * m for w, m in zip(weights, masks)]

    def masked_gradients(at):
        return [g * m for g, m in zip(gradients(at, x, y, **kwargs), masks)]

    e = perturbation(weights, masked_gradients(weights), rho, normalize, adaptive)
    return masked_gradients([w + e_w for w, e_w in zip(weights, e)])
