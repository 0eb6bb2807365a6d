"""Networks trained at once against one by one: ms a member's step, in turn in one run.

    python -m tests.benchmarks.population --members 25 --rounds 5

A member's step is a SAM step of one network, its share of the program's time. Beside it: the same
step by SAMModel's `fit`, and by a population of one, which is the program without the gain of many.
Prints a table in Markdown.

    python -m tests.benchmarks.population --epochs 20 --networks digits/0.1 digits/0.4

times a recipe's runs themselves, evaluations included: all seeds and rhos of a width as one
population, against the rhos of one seed one by one. Shown is the difference between runs of 1 + 20
epochs and runs of 1: what a run costs once (building, tracing, its record) is left out.

Nothing else should run on the machine. The defaults take about ten minutes on 2 CPU cores.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from tests.benchmarks.step_time import BACKENDS, positive
from tests.benchmarks.variant import Variant
from tests.benchmarks.worker_process import WorkerError, WorkerProcess

# In a block: what a worker takes for a step.
STEPS = 20
NETWORKS = ("digits/0.1", "digits/0.2", "digits/0.4", "digits/0.8", "digits/1.6")
NETWORKS += ("mnist/0.25", "mnist/1", "resnet18/4")
BATCH_SIZES = {"digits": 64, "mnist": 128, "resnet18": 128}
# Members of these take seconds a turn.
FEW = {"resnet18": 4}
HEADER = (
    "| network | parameters | backend | members | at once, ms | one by one, ms | ratio "
    "| one in a program, ms | peak memory, MiB (one by one) |\n"
    "|---|--:|---|--:|--:|--:|--:|--:|--:|"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    args = parse(arguments)
    print(HEADER, flush=True)
    for name in args.networks:
        for backend in args.backends:
            if args.epochs:
                text = row_of_runs(name, backend, args.members, args.rounds, args.epochs)
            else:
                text = row(name, backend, args.members, args.rounds, args.blocks)
            print(text, flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.population",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="name/width")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--members", type=positive, default=25)
    parser.add_argument("--rounds", type=positive, default=5, help="turns that each has")
    parser.add_argument("--epochs", type=positive, help="of a recipe's runs, evaluated after each")
    parser.add_argument("--blocks", type=positive, default=2, help=f"of {STEPS} steps, in a turn")
    return parser.parse_args(arguments)


def row(name: str, backend: str, members: int, rounds: int, blocks: int) -> str:
    """A line of the table."""
    few = min(members, FEW.get(name.partition("/")[0], members))
    try:
        return line(timed(name, backend, few, rounds, blocks))
    except WorkerError as error:
        return f"| {name} | | {backend} | {few} | not timed: {error} |"


def timed(
    name: str,
    backend: str,
    members: int,
    rounds: int,
    blocks: int,
    batch_size: int | None = None,
    precision: str | None = None,
) -> dict[str, Any]:
    """What a line shows: milliseconds a member's step, one value a round, and memory.

    Args:
        name: Of the network, with its width.
        backend: "tensorflow", "jax" or "torch".
        members: How many at once.
        rounds: Turns that each program has.
        blocks: Of 20 steps, in a turn.
        batch_size: Examples a step. Defaults to `None`, that of `BATCH_SIZES`.
        precision: See `Variant`. Defaults to `None`, float32.

    Raises:
        WorkerError: If a program cannot be run.
    """
    at_once = _at_once("population", name, backend, members, batch_size, precision)
    variants = [at_once, replace(at_once, members=0), replace(at_once, members=1)]

    def turn(worker: WorkerProcess) -> tuple[float, dict[str, Any]]:
        answer = worker.ask("steps", blocks)
        return answer["seconds"] / blocks, answer

    return _in_turns(name, variants, rounds, turn)


def row_of_runs(name: str, backend: str, members: int, rounds: int, epochs: int) -> str:
    """A line of the table, of a recipe's runs."""
    try:
        return line(timed_runs(name, backend, members, rounds, epochs))
    except WorkerError as error:
        return f"| {name} | | {backend} | {members} | not timed: {error} |"


def timed_runs(name: str, backend: str, members: int, rounds: int, epochs: int) -> dict[str, Any]:
    """As `timed`: milliseconds a member's step of `epochs` epochs with their evaluations.

    Raises:
        WorkerError: If a program cannot be run.
    """
    at_once = _at_once("runs", name, backend, members)
    variants = [at_once, replace(at_once, members=0)]

    def turn(worker: WorkerProcess) -> tuple[float, dict[str, Any]]:
        few, many = (worker.ask("steps", count) for count in (1, 1 + epochs))
        return (many["seconds"] - few["seconds"]) / epochs, many

    return _in_turns(name, variants, rounds, turn, first=1 + epochs)


def _at_once(
    package: str,
    name: str,
    backend: str,
    members: int,
    batch_size: int | None = None,
    precision: str | None = None,
) -> Variant:
    """Members of a network, which is named with its width."""
    network, _, width = name.partition("/")
    return Variant(
        package=package,
        backend=backend,
        network=network,
        filters=0,
        batch_size=batch_size or BATCH_SIZES[network],
        rho=None,
        width=float(width),
        members=members,
        precision=precision,
    )


def _in_turns(
    name: str,
    variants: Sequence[Variant],
    rounds: int,
    turn: Callable[[WorkerProcess], tuple[float, dict[str, Any]]],
    first: int | None = None,
) -> dict[str, Any]:
    """Times programs in turn. A turn gives seconds and an answer; `first` are steps to compile."""
    ms: list[list[float]] = [[] for _ in variants]
    peaks = [0.0] * len(variants)
    with ExitStack() as stack:
        workers = [stack.enter_context(WorkerProcess(v, wait=False)) for v in variants]
        for worker in workers:
            worker.wait()
            if first is not None:
                worker.ask("steps", first)
        for _ in range(rounds):
            for i, worker in enumerate(workers):
                seconds, answer = turn(worker)
                ms[i].append(1000 * seconds / worker.description["member_steps"])
                peaks[i] = answer["device_peak"] or answer["peak"]
    return {
        "name": name,
        "backend": variants[0].backend,
        "members": variants[0].members,
        "parameters": workers[0].description["parameters"],
        "device": workers[0].description["device"],
        "ms": ms,
        "peaks": peaks,
    }


def line(found: Mapping[str, Any]) -> str:
    """A line of the table: minima over rounds, and medians."""
    ms, peaks = found["ms"], found["peaks"]
    shown = [f"{min(of):.3g} ({statistics.median(of):.3g})" for of in ms]
    shown += [""] * (3 - len(shown))
    return (
        f"| {found['name']} | {found['parameters']:,} | {found['backend']} | {found['members']} "
        f"| {shown[0]} | {shown[1]} | {min(ms[0]) / min(ms[1]):.2f} | {shown[2]} "
        f"| {peaks[0]:.0f} ({peaks[1]:.0f}) |"
    )


if __name__ == "__main__":
    sys.exit(main())
