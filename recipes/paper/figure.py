"""The summary: SAM's gain against the number of weights, the paper's beside ours."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

from matplotlib.figure import Figure

from recipes.paper.rows_size import SYNTHETIC, paper_of
from recipes.paper.sample import Draw, Point, Sample, changes, gains
from recipes.paper.study import Study
from recipes.reporting.axes import FIXED, PAPER, SAM, curve, finish, without_outliers
from recipes.reporting.outcome import mean, standard_error
from recipes.running.recipe import Paper


@dataclasses.dataclass(frozen=True)
class Panel:
    """One workload.

    Args:
        title: Its name.
        ylabel: What the gain is of.
        paper: What the paper reports. Defaults to nothing.
        curves: Ours, by label: a study's name and what is drawn of it.
    """

    title: str
    ylabel: str
    paper: Paper | None = None
    curves: Mapping[str, tuple[str, Draw]] = dataclasses.field(default_factory=dict)


def _student(report: str) -> Draw:
    draw = changes(report, than={"rho": 0.1}, against="width", rho=0.0)

    def by_parameters(study: Study) -> Sample:
        points = tuple(Point(102 * p.x + 1, p.y, p.seed) for p in draw(study).points)
        return Sample(points, "+.3f", "parameters")

    return by_parameters


def _noisy(noise: float) -> dict[str, tuple[str, Draw]]:
    return {
        "ours": ("mnist_noise", gains(label_noise=noise)),
        "ours, last epoch": ("mnist_noise", gains("last", label_noise=noise)),
    }


ACCURACY = "gain, points"
_COLUMNS = 4
PANELS = (
    Panel(
        "synthetic regression, MLP",
        "gain, test loss",
        SYNTHETIC,
        {
            "ours, selected epoch": ("teacher_student", _student("selected")),
            "ours, last epoch": ("teacher_student", _student("last")),
        },
    ),
    Panel("MNIST, MLP", ACCURACY, paper_of("mnist"), _noisy(0.0)),
    Panel("MNIST, 40 % wrong labels", ACCURACY, None, _noisy(0.4)),
    Panel("8x8 digits, MLP", ACCURACY, None, {"ours": ("digits", gains())}),
    Panel(
        "CIFAR-10, ResNet-18",
        ACCURACY,
        paper_of("cifar10_resnet18"),
        {
            "ours": ("cifar10_resnet18", gains()),
            "ours, GPU": ("cifar10_resnet18_gpu", gains()),
        },
    ),
    Panel("ImageNet, ResNet-50", ACCURACY, paper_of("imagenet_resnet50")),
    Panel(
        "part-of-speech tags",
        ACCURACY,
        paper_of("tagging_transformer"),
        {"ours, in small": ("tagging_transformer", gains())},
    ),
    Panel(
        "SST-2, LSTM",
        ACCURACY,
        paper_of("sst2_lstm"),
        {"ours, in small": ("sst2_lstm", gains())},
    ),
    Panel(
        "molecules, GCN",
        ACCURACY,
        paper_of("molecules_gcn"),
        {"ours": ("molecules_gcn", gains())},
    ),
    Panel("Atari, CNN", "gain, score", paper_of("atari_ppo")),
    Panel("MinAtar, CNN", "gain, score", None, {"ours": ("minatar_ppo", gains())}),
)


def figure(studies: Mapping[str, Study]) -> Figure:
    """One panel a workload. It is opaque, so that it reads on light and on dark pages."""
    panels = [
        (panel, ours)
        for panel in PANELS
        if (ours := _ours(panel, studies)) or panel.paper is not None
    ]
    rows = math.ceil(len(panels) / _COLUMNS)
    drawn = Figure(figsize=(11.5, 2.7 * rows), layout="constrained", facecolor="white")
    grid = list(drawn.subplots(rows, _COLUMNS, squeeze=False).flat)
    for axes, (panel, ours) in zip(grid, panels, strict=False):
        known = [
            (size, gain)
            for size, gain in ([] if panel.paper is None else _points(panel.paper))
            if not math.isnan(size)
        ]
        if known:
            axes.plot(*zip(*known, strict=True), "s--", color=PAPER, ms=4, label="paper")
        for (label, points), color in zip(ours.items(), (SAM, FIXED), strict=False):
            curve(axes, points, label, color)
        sizes = [x for points in ours.values() for x, _, _ in points] + [x for x, _ in known]
        finish(axes, "parameters", panel.ylabel, log=True, sizes=_apart(sizes), zero=True)
        without_outliers(axes)
        axes.set_title(panel.title + ("" if ours else "\n(ours: not run)"), fontsize=10)
    for axes in grid[len(panels) :]:
        axes.remove()
    drawn.suptitle(
        "What SAM gains over the plain optimizer; bars: standard error over seeds; triangle: below"
    )
    return drawn


def _apart(sizes: Sequence[float]) -> list[float]:
    """Those whose labels have room: a quarter of the logarithmic axis lies between two."""
    least, most = min(sizes), max(sizes)
    room = (most / least) ** 0.25
    kept = [least]
    for size in sorted(set(sizes)):
        if size >= room * kept[-1]:
            kept.append(size)
    return kept


def _points(paper: Paper) -> Iterator[tuple[float, float]]:
    return zip(paper.parameters, paper.gains, strict=True)


def _ours(
    panel: Panel, studies: Mapping[str, Study]
) -> dict[str, list[tuple[float, float, float]]]:
    """Size, mean gain and standard error, by the curve's label."""
    found = {}
    for label, (name, draw) in panel.curves.items():
        sample = draw(studies[name]) if name in studies else Sample(())
        if sample.points:
            found[label] = [(x, mean(ys), standard_error(ys)) for x, ys in sample.by_x.items()]
    return found
