"""The workloads of the paper's main figure, and ours: what is drawn of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from recipes.paper.rows_size import SYNTHETIC, paper_of
from recipes.paper.sample import Draw, Point, Sample, changes, gains
from recipes.paper.study import Study
from recipes.running.recipe import Paper, find


@dataclasses.dataclass(frozen=True)
class Panel:
    """One workload.

    Args:
        title: Its name.
        ylabel: What the gain is of.
        paper: What the paper reports. Defaults to nothing.
        curves: Ours, by label: a study's name and what is drawn of it.
        form: Of gains, as `format` takes it. Defaults to two digits with a sign.
    """

    title: str
    ylabel: str
    paper: Paper | None = None
    curves: Mapping[str, tuple[str, Draw]] = dataclasses.field(default_factory=dict)
    form: str = "+.2f"

    def samples(self, studies: Mapping[str, Study]) -> dict[str, Sample]:
        """Our gains against the number of weights, by the curve's label; where there are any."""
        drawn = {
            label: draw(studies[name])
            for label, (name, draw) in self.curves.items()
            if name in studies
        }
        return {label: sample for label, sample in drawn.items() if sample.points}


def _student(report: str) -> Draw:
    draw = changes(report, than={"rho": 0.1}, against="width", rho=0.0)

    def by_parameters(study: Study) -> Sample:
        points = tuple(Point(102 * p.x + 1, p.y, p.seed) for p in draw(study).points)
        return Sample(points, "+.3f", "parameters")

    return by_parameters


def _without_embedding(study: Study) -> Sample:
    """The paper does not count the words' embedding, 300 numbers each."""
    sample, words = gains()(study), find("sst2_lstm").options["vocabulary"].default
    points = tuple(p._replace(x=p.x - 300 * words) for p in sample.points)
    return dataclasses.replace(sample, points=points)


def _noisy(noise: float) -> dict[str, tuple[str, Draw]]:
    return {
        "ours": ("mnist_noise", gains(label_noise=noise)),
        "ours, last epoch": ("mnist_noise", gains("last", label_noise=noise)),
    }


ACCURACY = "gain, points"
PANELS = (
    Panel(
        "synthetic regression, MLP",
        "gain, test loss",
        SYNTHETIC,
        {
            "ours, selected epoch": ("teacher_student", _student("selected")),
            "ours, last epoch": ("teacher_student", _student("last")),
        },
        form="+.3f",
    ),
    Panel("MNIST, MLP", ACCURACY, paper_of("mnist"), _noisy(0.0)),
    Panel("MNIST, 40 % wrong labels", ACCURACY, None, _noisy(0.4)),
    Panel("MNIST, 60 % wrong labels", ACCURACY, None, _noisy(0.6)),
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
        {"ours, in small": ("sst2_lstm", _without_embedding)},
    ),
    Panel(
        "molecules, GCN",
        ACCURACY,
        paper_of("molecules_gcn"),
        {"ours": ("molecules_gcn", gains())},
    ),
    Panel("Atari, CNN", "gain, score", paper_of("atari_ppo"), form="+.0f"),
    Panel("MinAtar, CNN", "gain, score", None, {"ours": ("minatar_ppo", gains())}),
)
