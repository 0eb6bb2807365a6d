"""The SAM family in NumPy, on one flat float64 vector; written from the papers' formulas.

Each method is an object with its own memory; `step(gradient, w, rho)` returns what the optimizer
gets. A rho of 0 is a step without a perturbation.
"""

import functools

import numpy as np

EPSILON = 1e-12


def along(vector):
    return vector / (np.linalg.norm(vector) + EPSILON)


class SAM:
    """The method itself; the others say what they do otherwise."""

    def radius(self, rho, g):
        return rho

    def direction(self, g):
        return g

    def descent(self, g, g_perturbed):
        return g_perturbed

    def plain(self, g):
        return g

    def step(self, gradient, w, rho, ascent_steps=1):
        g = gradient(w)
        rho = self.radius(rho, g)
        ascents = [self.direction(g)]
        if rho == 0:
            return self.plain(g)
        e = rho / ascent_steps * along(ascents[0])
        for _ in range(ascent_steps - 1):
            e = e + rho / ascent_steps * along(gradient(w + e))
        return self.descent(g, gradient(w + e))


class GSAM(SAM):
    def __init__(self, alpha):
        self.alpha = alpha

    def descent(self, g, g_perturbed):
        parallel = (g @ g_perturbed) / (g_perturbed @ g_perturbed) * g_perturbed
        return g_perturbed - self.alpha * (g - parallel)


class Mix(SAM):
    def __init__(self, alpha):
        self.alpha = alpha

    def descent(self, g, g_perturbed):
        return g + self.alpha * (g_perturbed - g)


class WSAM(SAM):
    def __init__(self, gamma):
        self.gamma = gamma

    def descent(self, g, g_perturbed):
        return g + self.gamma / (1 - self.gamma) * (g_perturbed - g)


class LookSAM(SAM):
    def __init__(self, alpha):
        self.alpha, self.u = alpha, None

    def descent(self, g, g_perturbed):
        v = g_perturbed - (g @ g_perturbed) / (g @ g) * g
        self.u = v / np.linalg.norm(v)
        return g_perturbed

    def plain(self, g):
        return g if self.u is None else g + self.alpha * np.linalg.norm(g) * self.u


class Friendly(SAM):
    def __init__(self, sigma, decay):
        self.sigma, self.kept, self.m = sigma, decay, None

    def direction(self, g):
        if self.m is None:
            self.m = g
            return g
        d = g - self.sigma * self.m
        self.m = self.kept * self.m + (1 - self.kept) * g
        return d


class VaSSO(SAM):
    def __init__(self, theta):
        self.theta, self.d = theta, None

    def direction(self, g):
        self.d = g if self.d is None else (1 - self.theta) * self.d + self.theta * g
        return self.d


class MSAM(SAM):
    def __init__(self, decay):
        self.decay, self.v = decay, 0.0

    def step(self, gradient, w, rho, ascent_steps=1):
        h = gradient(w - rho * along(np.zeros_like(w) + self.v))
        self.v = self.decay * self.v + h
        return h


class AESAM(SAM):
    def __init__(self, c, decay):
        self.c, self.decay, self.mean, self.variance = c, decay, None, 0.0

    def radius(self, rho, g):
        s = g @ g
        self.mean = s if self.mean is None else self.decay * self.mean + (1 - self.decay) * s
        self.variance = self.decay * self.variance + (1 - self.decay) * (s - self.mean) ** 2
        return rho if s >= self.mean + self.c * np.sqrt(self.variance) else 0.0


def every(rho, k):
    return lambda step: rho if step % k == 0 else 0.0


def late(rho, start):
    return lambda step: rho if step >= start else 0.0


def trajectory(method, gradient, w, rho, steps, learning_rate=0.1, momentum=0.9, ascent_steps=1):
    """The weights after each step of SGD with momentum; rho may be a function of the step."""
    w, velocity, weights = np.array(w), 0.0, []
    for step in range(steps):
        radius = rho(step) if callable(rho) else rho
        h = method.step(functools.partial(gradient, step=step), w, radius, ascent_steps)
        velocity = momentum * velocity + h
        w = w - learning_rate * velocity
        weights.append(w)
    return np.array(weights)
