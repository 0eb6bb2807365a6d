"""What `recipes.theory.stability` says of its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from recipes.reporting.markdown import aligned
from recipes.running.experiment import Result
from recipes.theory.stability.bounds import bounds, uncentred
from recipes.theory.stability.ensembles import ensemble
from recipes.theory.summary import cell, groups

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUANTITIES = ("lambda_max", "s_2", "s_3", "s_4")
_ROUNDING = 1 + 1e-9


def line(result: Result) -> str:
    """One result, for those who watch."""
    setting = result.setting
    return (
        f"{setting.kind}, B {setting.batch_size}, rho {setting.rho:g}, seed {setting.seed}: "
        f"largest step {result['condition']:.4f} by (6), {result['exact']:.4f} exactly"
    )


def table(results: Sequence[Result]) -> str:
    """The largest steps, and below them how often each bound of Eq. 7 is broken."""
    header = ["Hessians", "B", "rho", "by (6)", "exact", "(6) / exact", "least", "mean alone"]
    rows = [[*header, "lambda_max alone", "a run's rate"]]
    for (kind, batch_size, rho), group in groups(results, "kind", "batch_size", "rho").items():
        ratios = [result["condition"] / result["exact"] for result in group]
        rows.append(
            [
                *(kind, str(batch_size), f"{rho:g}"),
                *(cell([r[name] for r in group], ".3f") for name in ("condition", "exact")),
                *(cell(ratios, ".3f"), f"{min(ratios):.3f}"),
                *(cell([r[name] for r in group], ".3f") for name in ("mean", "sharpness")),
                cell([result["rate"] for result in group], ".3f"),
            ]
        )
    seeds = len({result.setting.seed for result in results})
    note = (
        f"Largest stable step size, mean ± standard error over {seeds} seed(s): by condition (6), "
        "in truth, and by what is necessary but not enough. least: the least (6) / exact. a run's "
        "rate: of log |x| a step of single runs at the exact step; below 0 they still come nearer."
    )
    return "\n".join([aligned(rows), "", note, "", _bounds_table(results)])


def _bounds_table(results: Sequence[Result]) -> str:
    """How many minima break each bound of Eq. 7, and by how much at most."""
    rows = [["Eq. 7", "moments", "minima", "broken", "largest value / limit"]]

    def row(name: str, moments: str, some: Sequence[Result], key: str) -> None:
        values = [r[key][name] for r in some if np.isfinite(r[key][name])]
        if values:
            broken = sum(value > _ROUNDING for value in values)
            rows.append([name, moments, str(len(values)), str(broken), f"{max(values):.3f}"])

    small = [r for r in results if r.setting.rho <= r["condition"] / 2]
    large = [r for r in results if r.setting.rho > r["condition"] / 2]
    for name in QUANTITIES:
        row(name, "-" if name == "lambda_max" else "centred", results, "centred")
        if name != "lambda_max":
            row(name, "M_k - H^k, rho <= eta / 2", small, "powers")
            row(name, "M_k - H^k, rho > eta / 2", large, "powers")
    for name in QUANTITIES:
        moments = "" if name == "lambda_max" else "centred, "
        row(name, f"{moments}at the exact step", results, "at_exact")
    centred, measured = counterexample()
    note = (
        "Each minimum at the largest step that (6) allows, the last four rows at the largest that "
        "is stable. In closed form: H_i in {0, 1}, rho 10, eta 2/11 is stable, and (s_4 / limit)^4 "
        f"is {centred:.4f} centred, {measured:.4f} with M_4 - H^4."
    )
    return "\n".join([aligned(rows), "", note])


def counterexample() -> tuple[float, float]:
    """(s_4 / limit)^4 at a stable minimum, centred and with M_4 - H^4."""
    hessians = ensemble("two_point", 2, 1, seed=0)
    s_4 = bounds(hessians, eta=2 / 11, rho=10.0)["s_4"]
    return (s_4.value / s_4.limit) ** 4, (uncentred(hessians)["s_4"] / s_4.limit) ** 4


def figure(results: Sequence[Result]) -> Figure:
    """The condition against the truth, and the last bound of Eq. 7 in its two forms."""
    from matplotlib.figure import Figure

    from recipes.reporting.axes import FIXED, PLAIN, SAM, finish

    drawn = Figure(figsize=(12.5, 4.2), layout="constrained")
    left, middle, right = drawn.subplots(1, 3)
    kinds = list(dict.fromkeys(result.setting.kind for result in results))
    colors = dict(zip(kinds, (SAM, FIXED, "#009E73", "#CC79A7", PLAIN, "#E69F00"), strict=False))
    for kind in kinds:
        group = [result for result in results if result.setting.kind == kind]
        left.plot(
            [r["exact"] for r in group],
            [r["condition"] / r["exact"] for r in group],
            ".",
            color=colors[kind],
            label=kind,
        )
    left.axhline(1, color="0.5", linestyle="--", label="the whole of it")
    left.set_ylim(0, 1.05)
    finish(left, "largest stable step, exactly", "share that (6) allows", log=True)
    left.set_title("condition (6) suffices, and is close", fontsize=10)

    for kind in kinds:
        group = [result for result in results if result.setting.kind == kind]
        middle.plot(
            [r["exact"] for r in group], [r["rate"] for r in group], ".", color=colors[kind]
        )
    middle.axhline(0, color="0.5", linestyle="--", label="neither grows nor shrinks")
    finish(middle, "largest stable step, exactly", "rate of log |x| a step", log=True)
    middle.set_title("single runs at that step still shrink", fontsize=10)

    pairs: list[tuple[str, str, str, Callable[[Result], float]]] = [
        ("$M_4 - H^4$, as measured", SAM, "x", lambda r: r["powers"]["s_4"]),
        ("centred, $M_4 - M_2^2$", FIXED, ".", lambda r: r["centred"]["s_4"]),
    ]
    some = [result for result in results if result.setting.rho > 0]
    for label, color, mark, value in pairs:
        ratios = [r.setting.rho / r["condition"] for r in some]
        right.plot(ratios, [value(r) ** 4 for r in some], mark, ms=4, color=color, label=label)
    right.axhline(1, color="0.5", linestyle="--", label="Eq. 7's limit")
    right.axvline(0.5, color="0.5", linestyle=":", label="rho = eta / 2")
    finish(right, "rho / eta", "$(s_4\\,/\\,\\mathrm{limit})^4$", log=True)
    right.set_title("stable minima: Eq. 7's last bound", fontsize=10)
    drawn.suptitle("Linear stability of SAM at random minima, Theorem 9 and Eq. 7")
    return drawn
