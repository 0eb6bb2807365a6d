"""The algorithm: the gradient of Sharpness-Aware Minimization, with nothing mutated.

    loss, aux, g  = value_and_grad(w)
    e             = perturbation(w, g, rho)
    _,    _,   g' = value_and_grad(w + e)          (its aux is dropped)

Source: Foret et al. 2021, "Sharpness-Aware Minimization for Efficiently Improving Generalization",
algorithm 1. The optimizer then applies `g'` to `w`, which was never touched.

Other methods of the family put rules of their own in three places, see `keras_sam.methods`:

    rho = radius(rho, g)                           how far; where it is 0, one pass is enough
    e   = perturbation(w, direction(g), rho)       where to
    h   = descent(g, g')                           what the optimizer gets
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras import ops, tree

from keras_sam import vectors
from keras_sam.backend import branch, dense
from keras_sam.methods.method import Method, State
from keras_sam.perturbation import Perturbation, normalized

Tensor = Any
Gradients = list[Tensor | None]
ValueAndGrad = Callable[[Sequence[Tensor]], tuple[tuple[Tensor, Any], Gradients]]
Seen = tuple[Tensor, Tensor] | None
SAM = Method()


class Ascent(NamedTuple):
    """What the step up looked like: scalars."""

    gradient_norm: Tensor  # ||g||
    perturbation_norm: Tensor  # ||e||
    rise: Tensor  # L(w + e) - L(w)


class SAMGradient(NamedTuple):
    """What `sam_gradient` returns."""

    value: tuple[Tensor, Any]  # (loss, aux) at w
    gradients: Gradients  # what the optimizer gets
    state: State  # of the method's rules
    ascent: Ascent | None  # where `observe` asks for it


def sam_gradient(
    value_and_grad: ValueAndGrad,
    weights: Sequence[Tensor],
    rho: Any,
    perturbation: Perturbation = normalized,
    method: Method = SAM,
    state: State = ([], [], []),
    *,
    ascent_steps: int = 1,
    average: Callable[[Gradients], Gradients] = list,
    unscale: Callable[[Gradients], Gradients] = list,
    observe: bool = False,
    may_vanish: bool = True,
) -> SAMGradient:
    """Value and auxiliary output at `w`, gradient at `w + e`.

    Args:
        value_and_grad: `weights -> ((loss, aux), gradients)`.
        weights: The weights `w`, a list of tensors.
        rho: The radius: a number, or a scalar tensor. Where it is 0 there is one pass, for a tensor
            by a branch of the program. The number 0 is the plain gradient whatever the method, and
            leaves its state alone.
        perturbation: A function of `keras_sam.perturbation`. Defaults to `normalized`.
        method: The rules. Defaults to those of SAM.
        state: Their state: at the start `method.state(weights)`, then what was returned before.
        ascent_steps: n: `e` is the sum of n perturbations of rho / n, each taken where the one
            before led. n + 1 passes. Defaults to 1.
        average: What makes the gradients of replicas one, if they share a perturbation. Defaults to
            nothing.
        unscale: What undoes the loss scale, before a gradient becomes a perturbation. Defaults to
            nothing.
        observe: Whether to return `ascent`. Defaults to `False`.
        may_vanish: Whether a rho that is a tensor may be 0. Where it is known not to be, there is
            no branch. Defaults to `True`.

    Returns:
        A `SAMGradient`: value and aux are those of the clean pass.

    Example:

    >>> from keras import ops, tree
    >>> def parabola(w):  # L(w) = w^2
    ...     return (w[0] ** 2, None), [2.0 * w[0]]
    >>> (loss, _), (g,), _, _ = sam_gradient(parabola, [ops.ones(1)], rho=0.5)
    >>> float(loss[0]), float(g[0])  # 2 * (1 + 0.5)
    (1.0, 3.0)
    """
    of_radius, of_direction, of_descent = state
    if isinstance(rho, int | float) and rho == 0:
        value, g = value_and_grad(weights)
        seen = (_norm([], weights), ops.zeros_like(value[0])) if observe else None
        return SAMGradient(value, g, state, _ascent(seen, lambda: unscale(average(g))))

    if not method.direction.needs_gradient:
        d, _ = method.direction([], of_direction)
        value, g = value_and_grad(_sum(weights, perturbation(weights, d, rho)))
        of_direction = method.direction.after(unscale(average(g)), of_direction)
        return SAMGradient(value, g, (of_radius, of_direction, of_descent), None)

    value, g = value_and_grad(weights)
    mean_g = average(g)
    ascent_g = unscale(mean_g)
    rho, of_radius = method.radius(rho, ascent_g, of_radius)
    d, next_of_direction = method.direction(ascent_g, of_direction)

    def perturbed_pass() -> tuple[Gradients, Seen]:
        e = perturbation(weights, d, rho / ascent_steps)
        for _ in range(ascent_steps - 1):
            _, further_g = value_and_grad(_sum(weights, e))
            further_d, _ = method.direction(unscale(average(further_g)), of_direction)
            e = _sum(e, perturbation(weights, further_d, rho / ascent_steps))
        (loss, _), g_perturbed = value_and_grad(_sum(weights, e))
        return g_perturbed, (_norm(e, weights), loss - value[0]) if observe else None

    def no_pass() -> tuple[Gradients, Seen]:
        return g, (_norm([], weights), ops.zeros_like(value[0])) if observe else None

    may_vanish = may_vanish or method.radius.switches
    h, seen = _either(rho, perturbed_pass, no_pass, may_vanish)
    if method.descent.mixes:
        # Not inside the branch above, where no replica could wait for another.
        mean_h, before = average(h), of_descent
        h, of_descent = _either(
            rho,
            lambda: method.descent.perturbed(mean_g, mean_h, before),
            lambda: method.descent.plain(mean_g, before),
            may_vanish,
        )
    state = of_radius, next_of_direction, of_descent
    return SAMGradient(value, h, state, _ascent(seen, lambda: ascent_g))


def _either(
    rho: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any], may_vanish: bool
) -> Any:
    """The first where rho is not 0, else the second."""
    if isinstance(rho, int | float) or not may_vanish:
        return true_fn()
    return branch(rho != 0, lambda: _dense(true_fn()), lambda: _dense(false_fn()))


def _dense(structure: Any) -> Any:
    return tree.map_structure(lambda t: None if t is None else dense(t), structure)


def _sum(tensors: Sequence[Tensor | None], e: Sequence[Tensor | None]) -> list[Tensor]:
    return [t if e_t is None else t + e_t for t, e_t in zip(tensors, e, strict=True)]


def _norm(e: Sequence[Tensor | None], weights: Sequence[Tensor]) -> Tensor:
    """The norm of e, in a dtype that does not depend on which weights it moves."""
    return ops.cast(vectors.norm(e), vectors.common_dtype(weights))


def _ascent(seen: Seen, gradient: Callable[[], Gradients]) -> Ascent | None:
    return None if seen is None else Ascent(vectors.norm(gradient()), *seen)
