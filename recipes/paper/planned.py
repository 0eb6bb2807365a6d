"""The commands that make the studies of the page, in order of what they tell for their time."""

from __future__ import annotations

import dataclasses

_MNIST = "python -m tuning.rho_search mnist --take 6000 --epochs 30"
_SPARSE = f"{_MNIST} --widths 1 --rhos 0.05 0.1 0.2"
# The sparsities at which [300, 100] hidden units keep as many weights as those of the widths.
EQUAL = {0.5: 0.529, 0.25: 0.7724, 0.1: 0.9115}


@dataclasses.dataclass(frozen=True)
class Planned:
    """A study that the page asks for.

    Args:
        name: Under which it is added.
        commands: Its command lines, without their output.
        minutes: What it takes on two CPU cores, roughly.
        also: Folders of other studies whose runs it needs besides.
        timings: Whether the commands time steps, and write them to a file.
    """

    name: str
    commands: tuple[str, ...]
    minutes: float
    also: tuple[str, ...] = ()
    timings: bool = False

    def lines(self) -> list[str]:
        """What to type: each command with a folder of its own, and what keeps its results."""
        if self.timings:
            file = f"runs/paper/{self.name}.json"
            ran = [f"{command} --json {file}" for command in self.commands]
            return [*ran, f"python -m recipes.paper --add {file} --as {self.name}"]
        folders = [f"runs/paper/{self.name}/{index}" for index in range(len(self.commands))]
        ran = [
            f"{command} --output {folder}"
            for command, folder in zip(self.commands, folders, strict=True)
        ]
        read = " ".join((f"runs/paper/{self.name}", *self.also))
        keep = f"python -m recipes.paper --add {read} --as {self.name}"
        if "recipes." in self.commands[0]:  # Of an experiment's commands all must have run.
            return [*ran, keep]
        return [line for one in ran for line in (one, keep)]


def _theory(name: str, minutes: float, *flags: str) -> Planned:
    command = f"python -m recipes.theory.{name}"
    return Planned(name, tuple(f"{command} {flag}".strip() for flag in flags or ("",)), minutes)


PLANNED = (
    _theory("matrix_factorization", 0.1),
    Planned("digits", ("python -m tuning.rho_search digits --seeds 10",), 3),
    Planned(
        "mnist_noise",
        tuple(
            f"{_MNIST} --widths {widths} --rhos {rhos} --label-noise {noise}"
            for noise, widths, rhos in (
                (0.4, "0.1 0.25 0.5 1 2", "0.02 0.05 0.1 0.2 0.4"),
                (0.0, "0.1 0.25 0.5 1 2", "0.02 0.05 0.1 0.2"),
                (0.2, "0.25 0.5 1 2", "0.05 0.1 0.2"),
                (0.6, "0.25 0.5 1 2", "0.05 0.1 0.2"),
            )
        ),
        30,
    ),
    Planned("digits_depth", ("python -m tuning.rho_search digits_depth --seeds 10",), 2),
    Planned(
        "digits_decay",
        ("python -m tuning.rho_search digits --seeds 10 --weight-decay 0",),
        3,
        also=("runs/paper/digits",),
    ),
    Planned(
        "mnist_regularised",
        tuple(
            f"{_SPARSE} --label-noise 0.4 {flag}"
            for flag in (
                "--weight-decay 0.001",
                "--weight-decay 0.01",
                "--label-smoothing 0.1",
                "--label-smoothing 0.4",
            )
        ),
        8,
        also=("runs/paper/mnist_noise/0",),
    ),
    Planned(
        "mnist_sparse",
        tuple(
            f"{_SPARSE} --sparsity {sparsity} --pruner {pruner}"
            for sparsity in EQUAL.values()
            for pruner in ("random", "snip")
        ),
        3,
        also=("runs/paper/mnist_noise/1",),
    ),
    Planned(
        "mnist_no_decay",
        (f"{_MNIST} --widths 0.1 0.25 0.5 1 2 --rhos 0.05 0.1 0.2 --weight-decay 0",),
        8,
        also=("runs/paper/mnist_noise/1",),
    ),
    Planned(
        "minima_width",
        tuple(
            f"python -m recipes.minima --width {width} --rhos 0 0.1 --seeds 3"
            for width in (0.1, 0.3, 1.0)
        ),
        5,
    ),
    Planned(
        "minima_sparse",
        tuple(
            f"python -m recipes.minima --width 0.3 --sparsity {sparsity} --rhos 0 0.1 --seeds 5"
            for sparsity in (0.0, 0.8, 0.95)
        ),
        6,
    ),
    _theory("stability", 0.3),
    _theory("convergence", 0.1),
    _theory(
        "signal_noise",
        1,
        "--dimensions 200 1000",
        "--widths 1 3 10 30 100 --rho-power 0 0.5 1 --dimensions 2000 --signals 2",
    ),
    Planned(
        "step_time",
        ("python -m tests.benchmarks.step_time --rounds 7 --masked",),
        4,
        timings=True,
    ),
    _theory("teacher_student", 0.6),
    _theory("linearised", 0.3),
    _theory(
        "relu_regression",
        0.5,
        "--steps 12000 --neurons 10",
        "--steps 12000 --neurons 100",
    ),
    Planned("minima", ("python -m recipes.minima --rhos 0 0.1 0.3 --seeds 3",), 15),
    Planned(
        "digits_unnormalised",
        ("python -m tuning.rho_search digits --seeds 10 --no-normalize",),
        3,
    ),
    Planned(
        "digits_adaptive",
        ("python -m tuning.rho_search digits --seeds 10 --adaptive --rhos 0.25 0.5 1 2",),
        3,
    ),
    Planned(
        "minatar_ppo",
        (
            "python -m tuning.rho_search minatar_ppo --widths 0.25 0.5 1 --rhos 0.01 0.03 0.1 "
            "--seeds 5",
        ),
        20,
    ),
    Planned(
        "sst2_lstm",
        (
            "python -m tuning.rho_search sst2_lstm --widths 16 32 64 --rhos 0.02 0.05 --seeds 3 "
            "--epochs 4 --take 10000 --learning-rate 0.5",
        ),
        20,
    ),
    Planned(
        "tagging_transformer",
        (
            "python -m tuning.rho_search tagging_transformer --widths 16 32 64 --depth 2 "
            "--rhos 0.02 0.05 --seeds 3 --epochs 4 --take 10000 --learning-rate 4e-3 "
            "--dropout 0.1 --vocabulary 15000 --warmup-steps 100",
        ),
        15,
    ),
    Planned(
        "cifar10_resnet18",
        (
            "python -m tuning.rho_search cifar10_resnet18 --widths 4 8 16 --rhos 0.05 0.1 "
            "--seeds 3 --epochs 6 --take 10000",
        ),
        85,
    ),
    Planned(
        "molecules_gcn",
        (
            "python -m tuning.rho_search molecules_gcn --widths 32 64 128 --rhos 0.01 0.05 "
            "--seeds 3 --epochs 4 --take 6000",
        ),
        8,
    ),
)
