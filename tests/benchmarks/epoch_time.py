"""An epoch of training against its bare steps: CIFAR-10 and ResNet-18, in turn in one run.

    python -m tests.benchmarks.epoch_time

An epoch is what `recipes.cifar10_resnet18` trains, without evaluation: `fit` over shuffled,
cropped, flipped, normalised batches. The step is SAMModel's with rho 0, the fastest consumer, on a
batch in memory; how it is timed: tests/benchmarks/step_time.py. The epoch should take at most 1.03
times its steps: what is above 1 is input and Python. The exit status is 1 if it takes more (by the
minima).

Nothing else should run on the machine. The defaults take about two minutes on 2 CPU cores.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from tests.benchmarks.step_time import BACKENDS, output, positive
from tests.benchmarks.variant import Variant
from tests.benchmarks.worker_process import WorkerError, WorkerProcess

REQUIRED_RATIO = 1.03
# Of an epoch: as many as the recipe's whole epochs, of 351, have in each of their programs.
STEPS = 39
# In a turn, for `fit` sets out once a run.
EPOCHS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns 1 if an epoch is too slow, 2 if it could not be timed."""
    args = parse(arguments)
    console = output()
    try:
        epoch_seconds, step_seconds = measure(args)
    except WorkerError as error:
        console.print(f"Not timed: {error}", markup=False)
        return 2
    console.print(table(args, epoch_seconds, step_seconds))
    ratio = min(epoch_seconds) / min(step_seconds)
    console.print(
        f"An epoch takes {ratio:.3f} times its bare steps (medians "
        f"{statistics.median(epoch_seconds) / statistics.median(step_seconds):.3f}); "
        f"at most {REQUIRED_RATIO} are asked for"
    )
    return 0 if ratio <= REQUIRED_RATIO else 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.epoch_time",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("--filters", type=positive, default=4, help="of the first stage")
    parser.add_argument("--batch-size", type=positive, default=128)
    parser.add_argument("--rounds", type=positive, default=6, help="turns that each has")
    parser.add_argument("--backend", choices=BACKENDS, default="tensorflow")
    return parser.parse_args(arguments)


def measure(args: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Seconds of an epoch a step, and of a bare step, one value a round."""
    settings: dict[str, Any] = {"filters": args.filters, "batch_size": args.batch_size}
    of_recipe = Variant("recipes", args.backend, "resnet18", rho=0.0, **settings)
    bare = Variant("keras_sam", args.backend, "resnet18", rho=0.0, **settings)
    epoch_seconds, step_seconds = [], []
    with WorkerProcess(of_recipe) as epochs, WorkerProcess(bare) as steps:
        for _ in range(args.rounds):
            step_seconds.append(steps.ask("steps", STEPS)["seconds"] / STEPS)
            epoch_seconds.append(epochs.ask("steps", EPOCHS)["seconds"] / (EPOCHS * STEPS))
    return epoch_seconds, step_seconds


def table(
    args: argparse.Namespace, epoch_seconds: Sequence[float], step_seconds: Sequence[float]
) -> Table:
    """Milliseconds a step: of an epoch, and bare."""
    result = Table(
        title=f"CIFAR-10, ResNet-18/{args.filters}, batch {args.batch_size}, {args.backend}, "
        f"{args.rounds} rounds"
    )
    result.add_column("ms a step")
    for text in ("minimum", "median", "maximum"):
        result.add_column(text, justify="right")
    for name, seconds in {"an epoch of training": epoch_seconds, "bare": step_seconds}.items():
        values = min(seconds), statistics.median(seconds), max(seconds)
        result.add_row(name, *(f"{1000 * value:.2f}" for value in values))
    return result


if __name__ == "__main__":
    sys.exit(main())
