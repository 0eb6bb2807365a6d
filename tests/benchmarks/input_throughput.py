"""Input alone against the step that consumes it: CIFAR-10 and ResNet-18, in turn in one run.

    python -m tests.benchmarks.input_throughput

Input is what `recipes.cifar10_resnet18` trains on: shuffled, cropped, flipped, normalised batches
of the prepared data (TFDS_DATA_DIR), taken from the tf.data pipeline as fast as it gives them. The
step is plain Keras's SGD step, the fastest consumer, on a batch in memory; how it is timed:
tests/benchmarks/step_time.py. Input should be at least 3 times as fast, since in training it has
only what the step leaves of the processor. The exit status is 1 if it is not (by the median).

Nothing else should run on the machine. The defaults take about a minute on 2 CPU cores.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from tests.benchmarks.step_time import output, positive
from tests.benchmarks.variant import Variant
from tests.benchmarks.worker_process import WorkerError, WorkerProcess

REQUIRED_RATIO = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns 1 if input is too slow, 2 if it could not be timed."""
    args = parse(arguments)
    console = output()
    try:
        input_seconds, step_seconds = measure(args)
    except WorkerError as error:
        console.print(f"Not timed: {error}", markup=False)
        return 2
    console.print(table(args, input_seconds, step_seconds))
    ratio = statistics.median(step_seconds) / statistics.median(input_seconds)
    console.print(f"Input is {ratio:.1f} times as fast as the step; {REQUIRED_RATIO} are asked for")
    return 0 if ratio >= REQUIRED_RATIO else 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.input_throughput",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("--filters", type=positive, default=16, help="of the first stage")
    parser.add_argument("--batch-size", type=positive, default=128)
    parser.add_argument("--rounds", type=positive, default=10, help="turns that each has")
    parser.add_argument("--steps", type=positive, default=5, help="training steps in a turn")
    parser.add_argument(
        "--batches",
        type=positive,
        default=200,
        help="batches of input in a turn; many, for a few were prefetched while the others ran",
    )
    return parser.parse_args(arguments)


def measure(args: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Seconds a batch of input, and seconds a step, one value a round."""
    settings: dict[str, Any] = {"filters": args.filters, "batch_size": args.batch_size}
    pipeline = Variant("recipes", "tensorflow", "resnet18", rho=None, **settings)
    step = Variant("keras_sam", "tensorflow", "resnet18", rho=None, **settings)
    input_seconds, step_seconds = [], []
    with WorkerProcess(pipeline) as reader, WorkerProcess(step) as trainer:
        for _ in range(args.rounds):
            input_seconds.append(reader.ask("steps", args.batches)["seconds"] / args.batches)
            step_seconds.append(trainer.ask("steps", args.steps)["seconds"] / args.steps)
    return input_seconds, step_seconds


def table(
    args: argparse.Namespace, input_seconds: Sequence[float], step_seconds: Sequence[float]
) -> Table:
    """Examples a second: of input alone, and that the step consumes."""
    result = Table(title=f"CIFAR-10, batch {args.batch_size}, {args.rounds} rounds")
    result.add_column("")
    for text in ("fastest examples/s", "median examples/s", "slowest examples/s"):
        result.add_column(text, justify="right")
    rows = {"input alone": input_seconds, f"step of ResNet-18/{args.filters}": step_seconds}
    for name, seconds in rows.items():
        values = min(seconds), statistics.median(seconds), max(seconds)
        result.add_row(name, *(f"{args.batch_size / value:,.0f}" for value in values))
    return result


if __name__ == "__main__":
    sys.exit(main())
