"""What `recipes.theory.signal_noise` says of its results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recipes.reporting.markdown import aligned
from recipes.running.experiment import Result
from recipes.theory.summary import cell, groups, means, paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PLACE = ("dimension", "signal", "width")


def line(result: Result) -> str:
    """One result, for those who watch."""
    s = result.setting
    return (
        f"d {s.dimension}, mu {s.signal:g}, m {s.width}, rho {s.radius:.3g}, seed {s.seed}: test "
        f"error {100 * result['error']:.1f} %, at equal loss {100 * result['equal_error']:.1f} %"
    )


def table(results: Sequence[Result]) -> str:
    """One row for each place and radius, SAM beside SGD, as Markdown; a note below it."""
    one = results[0].setting
    header = ["d", "|mu|", "m", "rho", "SGD error %", "SAM error %", "gain", "SGD loss", "SAM loss"]
    rows = [[*header, "SGD, equal loss", "SAM, equal loss", "gain, equal loss", "SAM's loss there"]]
    sgd = groups([r for r in results if r.setting.rho == 0], *_PLACE)
    sam = [result for result in results if result.setting.rho > 0]
    for key, group in groups(sam, *_PLACE, "rho", "rho_power").items():
        dimension, signal, width, rho, power = key
        reference = sgd.get((dimension, signal, width), [])
        cells = []
        for name in ("error", "equal_error"):
            cells.append(
                [
                    cell([100 * r[name] for r in reference], ".1f"),
                    cell([100 * r[name] for r in group], ".1f"),
                    cell([100 * gain for gain in paired(reference, group, name)], "+.1f"),
                ]
            )
        losses = [cell([r["loss"] for r in some], ".2f") for some in (reference, group)]
        reached = cell([r["equal_loss"] for r in group], ".2f")
        place = [str(dimension), f"{signal:g}", str(width), _radius(rho, power)]
        rows.append([*place, *cells[0], *losses, *cells[1], reached])
    seeds = len({result.setting.seed for result in results})
    note = (
        f"Test error on new examples, mean ± standard error over {seeds} seed(s), after "
        f"{one.epochs} steps, and at equal loss: with steps of {one.until_learning_rate:g} m / 10, "
        f"at the first training loss of at most {one.until_loss:g}, or after {one.max_epochs} "
        "steps. gain: SGD less SAM, paired."
    )
    return "\n".join([aligned(rows), "", note])


def _radius(rho: float, power: float) -> str:
    """How the radius depends on the width."""
    growth = {0.0: "", 1.0: " m/10"}.get(power, f" (m/10)^{power:g}")
    return f"{rho:g}{growth}"


def figure(results: Sequence[Result]) -> Figure:
    """Test error against the signal, one panel a dimension; against the width if that varies."""
    from matplotlib.figure import Figure

    from recipes.reporting.axes import FIXED, PLAIN, SAM, curve, finish, value_ticks

    by_width = len({result.setting.width for result in results}) > 1
    x, panel = ("width", ("dimension", "signal")) if by_width else ("signal", ("dimension",))
    panels = groups(results, *panel)
    colors = (SAM, FIXED, "#009E73", "#CC79A7")
    kinds = dict(
        zip(
            sorted({(r.setting.rho, r.setting.rho_power) for r in results if r.setting.rho > 0}),
            colors * 4,
            strict=False,
        )
    )
    one = results[0].setting
    drawn = Figure(figsize=(4.3 * len(panels) + 0.6, 4), layout="constrained")
    row = drawn.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (key, some) in zip(row, panels.items(), strict=True):
        for (rho, power), color in {(0.0, 0.0): PLAIN, **kinds}.items():
            label = "SGD" if rho == 0 else f"SAM, rho {_radius(rho, power)}"
            group = [r for r in some if (r.setting.rho, r.setting.rho_power) == (rho, power)]
            for name, style in (("error", "--"), ("equal_error", "-")):
                points = [
                    (value, *(100 * number for number in means([r[name] for r in part])))
                    for (value,), part in groups(group, x).items()
                ]
                curve(axes, points, label if style == "-" else "", color, style)
        values = [getattr(result.setting, x) for result in some]
        value_ticks(axes, "x", values)
        name = "filters a class, m" if by_width else "signal |mu|"
        finish(axes, name, "test error %" if axes is row[0] else "", legend=axes is row[-1])
        axes.set_ylim(-2, 55)
        title = ", ".join(
            f"{'d' if field == 'dimension' else '|mu|'} = {value:g}"
            for field, value in zip(panel, key, strict=True)
        )
        axes.set_title(title, fontsize=10)
    seeds = len({result.setting.seed for result in results})
    drawn.suptitle(
        f"Two-layer network on signal and noise:{' ' if len(panels) > 1 else chr(10)}solid, at "
        f"training loss {one.until_loss:g}; dashed, after {one.epochs} steps; {seeds} seed(s)",
        fontsize="medium",
    )
    return drawn
