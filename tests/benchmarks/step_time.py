"""Times the training step: SGD against SAM, ours against others', in turn in one run.

    python -m tests.benchmarks.step_time
    python -m tests.benchmarks.step_time --networks resnet18 --peers --masked --json step_time.json
    python -m tests.benchmarks.step_time --backends tensorflow jax torch --without-onednn
    python -m tests.benchmarks.step_time --backends tensorflow jax --methods

Each step lives in a process of its own, which holds the network, the optimizer (SGD with momentum
0.9) and one synthetic batch. The parent lets one process after the other take some steps, round
after round, so that a slow moment of the machine meets all of them.

What is timed: `model.train_function` of a compiled Keras model, which is the step as `fit` runs it,
gradients, optimizer, loss and batch statistics included, until the last weights are there; for the
peers, the step of their documentation on an equal network (equal layers; the numbers of weights
are compared). Not timed: start, tracing, compilation, the first step of each turn, input, and what
`fit` adds around a step (callbacks, logs, input: up to 5 ms, which would hide the ratio for the
MLP). `--fit` times whole calls of `fit` over arrays, and shows them beside.

Ratios are of minima and of medians over the rounds. "/ SGD" divides by plain SGD in the same
framework, without the package (Keras's own step for ours); a masked step's "/ SGD" divides by SGD
with the same masks, its "/ dense" by the same step without masks.

Memory is the peak of the process's resident set, imports included; "grown" is how far the peak rose
from the moment when the net was built, compilation included. Each framework uses its default number
of threads.

Peers do not all do the same work: tf-keras's first pass runs in inference mode, pytorch_optimizer
moves the batch statistics in both passes. Mixed precision is each framework's own way to do it.

Nothing else should run on the machine. The defaults take about two minutes on 2 CPU cores.
"""

import argparse
import dataclasses
import json
import math
import os
import platform
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks import method_arguments
from tests.benchmarks.measurement import Measurement, measure
from tests.benchmarks.variant import NETWORKS, Variant

RHO = 0.05
SPARSITY = 0.9
# Together a turn of about a second and a half on 2 CPU cores.
DEFAULT_STEPS = {"mlp": 200, "resnet18": 5}
# A turn holds as many perturbed steps as any other where it is a multiple of every method's period.
PERIOD = 10
PEERS = {"pytorch_optimizer": "torch", "optax": "jax", "tf_keras": "tensorflow"}
BACKENDS = ("tensorflow", "jax", "torch")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns 1 if nothing could be timed."""
    args = parse(arguments)
    progress = Console(stderr=True)
    measurements: list[Measurement] = []
    for network in args.networks:
        for filters in args.filters if network == "resnet18" else [0]:
            for batch_size in args.batch_size:
                group = variants(network, filters, batch_size, args)
                progress.rule(f"{group[0].network_name}, batch {batch_size}")
                steps = args.steps or DEFAULT_STEPS[network]
                if args.methods is not None:
                    steps = PERIOD * math.ceil(steps / PERIOD)
                # Printed lines, no spinner: that would take processor time from what is timed.
                measurements += measure(group, args.rounds, steps, args.fit, progress.print)
    timed = [m for m in measurements if m.failure is None]
    console = output()
    console.print(table(measurements, args))
    for m in measurements:
        if m.failure is not None:
            v = m.variant
            where = f"{v.network_name}, batch {v.batch_size}, {v.backend}"
            console.print(f"Not timed: {v.step_name} ({where}): {m.failure}", markup=False)
    if args.json:
        write_json(args.json, args, measurements)
    return 0 if timed else 1


def output() -> Console:
    """Stdout; where that is no terminal, rich would fold a table at 80 characters."""
    return Console(width=None if sys.stdout.isatty() else 160)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.step_time",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument(
        "--filters", nargs="+", type=positive, default=[16], help="of the ResNet's first stage"
    )
    parser.add_argument("--batch-size", nargs="+", type=positive, default=[128])
    parser.add_argument("--rounds", type=positive, default=10, help="turns that each step has")
    parser.add_argument(
        "--steps",
        type=positive,
        help=f"steps in a turn, by default {DEFAULT_STEPS['mlp']} for the MLP and "
        f"{DEFAULT_STEPS['resnet18']} for the ResNet",
    )
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=["tensorflow"])
    parser.add_argument(
        "--without-onednn", action="store_true", help="time TensorFlow without oneDNN as well"
    )
    parser.add_argument("--jit", action="store_true", help="XLA, or torch.compile on PyTorch")
    parser.add_argument("--mixed-precision", choices=["float16", "bfloat16"])
    parser.add_argument(
        "--masked", action="store_true", help=f"time steps with {SPARSITY:.0%}% of kernels masked"
    )
    parser.add_argument(
        "--peers", action="store_true", help=f"time those that are installed of {', '.join(PEERS)}"
    )
    parser.add_argument(
        "--methods",
        nargs="*",
        choices=method_arguments.NAMES,
        metavar="METHOD",
        help=f"time the SAM family as well, or some of it: {'; '.join(method_arguments.NAMES)}",
    )
    parser.add_argument("--fit", action="store_true", help="time whole calls of fit as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round's time there")
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1. Received: {text}")
    return value


def variants(
    network: str, filters: int, batch_size: int, args: argparse.Namespace
) -> list[Variant]:
    """The steps that are timed against each other on one network, in the order of their turns."""
    plain = Variant(
        "keras_sam", "", network, filters, batch_size, None, 0.0, args.jit, args.mixed_precision
    )
    masked = [(0.0, SPARSITY), (RHO, SPARSITY)] if args.masked else []
    names = tuple(args.methods) or method_arguments.NAMES if args.methods is not None else ()
    if network == "mlp":
        names = tuple(name for name in names if name != "SAM-ON")  # It normalises nothing.
    steps: list[dict[str, Any]] = [
        *({"rho": rho} for rho in (None, 0.0, RHO)),
        *({"rho": RHO, "method": name} for name in names),
        *({"rho": rho, "sparsity": sparsity} for rho, sparsity in masked),
    ]
    ours = [
        dataclasses.replace(plain, backend=backend, **step)
        for backend in args.backends
        for step in steps
    ]
    if args.without_onednn:
        ours += [dataclasses.replace(v, onednn=False) for v in ours if v.backend == "tensorflow"]
    peers = [
        dataclasses.replace(plain, package=package, backend=backend, rho=rho)
        for package, backend in (PEERS.items() if args.peers else ())
        for rho in (None, RHO)
    ]
    return ours + peers


def table(measurements: Sequence[Measurement], args: argparse.Namespace) -> Table:
    """One row a step, a section a network."""
    timed = {m.variant: m for m in measurements if m.failure is None}
    devices = sorted({m.device for m in timed.values()})
    on_accelerator = any(m.device_peak_memory is not None for m in timed.values())
    result = Table(
        title=f"Training step, {args.mixed_precision or 'float32'}{', jit' if args.jit else ''}, "
        f"{args.rounds} rounds, on {' and '.join(devices) or 'nothing'}"
    )
    for text in ("network", "batch", "backend", "step"):
        result.add_column(text)
    numbers = ["min ms", "/ SGD", *(["/ dense"] if args.masked else [])]
    numbers += ["median ms", *numbers[1:]]
    numbers += ["fit ms"] if args.fit else []
    numbers += ["peak MiB", "/ SGD", "grown MiB"]
    numbers += ["device MiB"] if on_accelerator else []
    for number in numbers:
        result.add_column(number, justify="right")

    group = None
    for measurement in measurements:
        variant = measurement.variant
        if group not in (None, variant.group):
            result.add_section()
        group = variant.group
        row = [variant.network_name, str(variant.batch_size), variant.backend, variant.step_name]
        if measurement.failure is not None:
            result.add_row(*row, "not timed")
            continue
        sgd = timed.get(variant.sgd)
        dense = timed.get(variant.dense) if variant.sparsity else None
        for statistic in ("minimum", "median"):
            row.append(f"{1000 * getattr(measurement, statistic):.2f}")
            row.append(ratio(measurement, sgd, statistic))
            if args.masked:
                row.append(ratio(measurement, dense, statistic))
        if args.fit:
            fit_seconds = measurement.fit_seconds
            row.append(f"{1000 * min(fit_seconds):.2f}" if fit_seconds else "")
        row.append(f"{measurement.peak_memory:.0f}")
        row.append(ratio(measurement, sgd, "peak_memory"))
        row.append(f"{measurement.peak_memory - measurement.built_memory:.0f}")
        if measurement.device_peak_memory is not None:
            row.append(f"{measurement.device_peak_memory:.0f}")
        result.add_row(*row)
    return result


def ratio(measurement: Measurement, base: Measurement | None, statistic: str) -> str:
    """How many times the base's, or nothing where the base could not be timed."""
    if base is None:
        return ""
    return f"{getattr(measurement, statistic) / getattr(base, statistic):.2f}x"


def write_json(path: Path, args: argparse.Namespace, measurements: Sequence[Measurement]) -> None:
    """Settings, machine, and of each step every round's time."""
    settings = {**vars(args), "json": str(path)}
    machine = {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
    }
    results = [m.to_dict() for m in measurements]
    document = {"settings": settings, "machine": machine, "measurements": results}
    path.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # Leaves no worker behind.
    sys.exit(main())
