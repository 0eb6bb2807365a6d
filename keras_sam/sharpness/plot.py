"""Figures of loss landscapes."""

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from keras_sam.sharpness.landscape import Landscape

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_landscapes(
    landscapes: Landscape | Mapping[str, Landscape],
    path: str | os.PathLike[str] | None = None,
) -> "Figure":
    """Draws landscapes: lines into one plot, planes as contours side by side on one scale.

    Args:
        landscapes: A `Landscape`, or a dict of them by name, all of one or all of two dimensions.
        path: A file to save the figure to, its format by its ending. Defaults to `None`: none.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        TypeError: If `landscapes` is neither a `Landscape` nor a dict of them, or `path` no path.
        ValueError: If there are no landscapes, or lines and planes are mixed.

    Example:

    ```python
    lines = {name: loss_landscape(m, data) for name, m in {"SGD": sgd, "SAM": sam}.items()}
    plot_landscapes(lines, "landscape.png")
    ```
    """
    from matplotlib.figure import Figure

    named = {"": landscapes} if isinstance(landscapes, Landscape) else landscapes
    if not isinstance(named, Mapping) or not all(isinstance(v, Landscape) for v in named.values()):
        raise TypeError(
            "`landscapes` must be a Landscape, or a dict of them by name. "
            f"Received: `landscapes={landscapes!r}`"
        )
    if path is not None and not isinstance(path, str | os.PathLike):
        raise TypeError(f"`path` must be a path. Received: `path={path!r}`")
    dimensions = {len(landscape.axes) for landscape in named.values()}
    if len(dimensions) != 1:
        raise ValueError(
            "`landscapes` must hold at least one, all of the same number of dimensions. "
            f"Received: {len(named)} with dimensions {sorted(dimensions)}"
        )
    if dimensions == {1}:
        figure = Figure(figsize=(5, 4), layout="constrained")
        _draw_lines(figure, named)
    else:
        figure = Figure(figsize=(1 + 4 * len(named), 4), layout="constrained")
        _draw_planes(figure, named)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _draw_lines(figure: "Figure", named: Mapping[str, Landscape]) -> None:
    axes = figure.subplots()
    for name, landscape in named.items():
        axes.plot(landscape.axes[0], landscape.loss, label=name)
        axes.set_xlabel(landscape.labels[0])
    axes.set_ylabel("loss")
    if any(named):
        axes.legend()


def _draw_planes(figure: "Figure", named: Mapping[str, Landscape]) -> None:
    losses = np.concatenate([landscape.loss.ravel() for landscape in named.values()])
    levels = _levels(losses[np.isfinite(losses)])
    panels = figure.subplots(1, len(named), squeeze=False)[0]
    for panel, (name, landscape) in zip(panels, named.items(), strict=True):
        a, b = landscape.axes
        loss = np.ma.masked_invalid(landscape.loss)
        contours = panel.contourf(a, b, loss.T, levels=levels, extend="both")
        panel.set(xlabel=landscape.labels[0], ylabel=landscape.labels[1], title=name)
        panel.set_aspect("equal")
    figure.colorbar(contours, ax=list(panels), label="loss")


def _levels(losses: np.ndarray) -> np.ndarray:
    """Contour levels, in geometric progression where the losses are positive: minima are flat."""
    if not losses.size:
        raise ValueError("`landscapes` must have finite losses. Received: none")
    low, high = float(losses.min()), float(losses.max())
    if low == high:
        high = math.nextafter(low, math.inf) + abs(low) + 1.0
    return np.geomspace(low, high, 24) if low > 0 else np.linspace(low, high, 24)
