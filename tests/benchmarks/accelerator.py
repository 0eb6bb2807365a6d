"""All that is to be measured on an accelerator, by one command a call, each within its time.

    python -m tests.benchmarks.accelerator pack --data cifar10.xz     # where TensorFlow is
    python -m tests.benchmarks.accelerator steps --output DIR --minutes 5
    python -m tests.benchmarks.accelerator population --output DIR --minutes 5
    python -m tests.benchmarks.accelerator study --output DIR --minutes 9 --data cifar10.xz

`steps`: what SAM's step takes, in plain SGD's, on JAX and PyTorch: the MLP, ResNet-18 with 4, 16
and 64 filters, batches of 128 and 512, float32 and bfloat16. `population`: a member's share of one
program's step against `fit`, of the same networks. `study`: `tuning.rho_search cifar10_resnet18` at
the paper's rhos, on the first of the backends.

Each stops by itself when its minutes are over, keeps what it has in DIR (steps.jsonl,
population.jsonl, study/records.jsonl: small files), prints it as a table, and goes on from there
when the same command is started again. Where records.jsonl and study.json are all that was kept of
a study, the width that was under way begins anew.

For a machine with a GPU that has neither TensorFlow nor a network: take along this checkout, wheels
of what is missing there of keras, namex, optree, keras-tuner, kt-legacy, six, platformdirs, psutil,
rich, filelock, scikit-learn and matplotlib (installed by `pip install --no-index --no-deps`), and
for the study CIFAR-10: `pack` writes its images, encoded as TFDS has them, to one file, and `study`
decodes them by pillow into the cache (`KERAS_SAM_CACHE`), 184 MB. Pictures that are kept as JPEG
may come out one step of brightness off.

With `--quick` all is tiny: minutes on a CPU.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from recipes.files import append_line, read_lines
from tests.benchmarks import population, step_time
from tests.benchmarks.accelerator_data import NAMES, pack, unpacked
from tests.benchmarks.measurement import Measurement, measure
from tests.benchmarks.variant import Variant
from tests.benchmarks.worker_process import REPOSITORY, WorkerError

# The paper's, of its main figure.
RHOS = (0.01, 0.02, 0.05, 0.1, 0.2)
# How long a study that is told to stop may take to end.
FAREWELL = 60
QUICK: dict[str, Any] = {
    "filters": [1],
    "batch_size": [8],
    "rounds": 1,
    "steps": 2,
    "members": 2,
    "widths": [1],
    "rhos": [0.1],
    "seeds": 1,
    "epochs": 1,
    "take": 64,
}
FLAGS: dict[str, dict[str, Any]] = {
    "backends": {"nargs": "+", "choices": step_time.BACKENDS, "default": ["jax", "torch"]},
    "filters": {"nargs": "+", "type": int, "default": [4, 16, 64]},
    "batch_size": {"nargs": "+", "type": int, "default": [128, 512]},
    "precisions": {
        "nargs": "+",
        "choices": ["float32", "bfloat16"],
        "default": ["float32", "bfloat16"],
    },
    "rounds": {"type": int, "default": 5, "help": "turns that each program has"},
    "steps": {"type": int, "default": 40, "help": "in a turn"},
    "members": {"type": int, "default": 18, "help": "of a population"},
    "widths": {"nargs": "+", "type": int, "default": [4, 8, 16, 32, 64]},
    "rhos": {"nargs": "+", "type": float, "default": list(RHOS)},
    "seeds": {"type": int, "default": 3},
    "epochs": {"type": int, "default": 20},
    "take": {"type": int, "default": None, "help": "of the training examples"},
}


class OutOfTimeError(Exception):
    """The minutes are over."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; the state is 1 where there is no result."""
    args = parse(arguments)
    if args.what == "pack":
        pack(args.data)
        return 0
    args.output.mkdir(parents=True, exist_ok=True)
    os.environ["KERAS_BACKEND"] = args.backends[0]
    command: Callable[[argparse.Namespace], bool] = COMMANDS[args.what]
    return 0 if command(args) else 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.accelerator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=["pack", *COMMANDS])
    parser.add_argument("--output", type=Path, default=Path("runs/accelerator"))
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--data", type=Path, help="the file that `pack` writes")
    parser.add_argument("--quick", action="store_true")
    for name, options in FLAGS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **options)
    if "--quick" in (sys.argv if arguments is None else arguments):
        parser.set_defaults(**QUICK)
    args = parser.parse_args(arguments)
    if args.what == "pack" and args.data is None:
        parser.error("`pack` needs --data, the file to write")
    return args


def steps(args: argparse.Namespace) -> bool:
    """SAM's step against SGD's, group by group."""
    file = args.output / "steps.jsonl"

    def measured(group: dict[str, Any]) -> dict[str, Any]:
        found = measure(_variants(group, args), args.rounds, args.steps, at_once=True)
        return {"measurements": [m.to_dict() for m in found]}

    groups = [
        {"network": network, "filters": filters, "batch_size": batch_size, "precision": precision}
        for precision in args.precisions
        for batch_size in args.batch_size
        for network, filters in [("mlp", 0), *(("resnet18", n) for n in args.filters)]
    ]
    _one_after_the_other(file, groups, measured, args)
    found = read_lines(file, json.loads)
    for precision in args.precisions:
        shown = argparse.Namespace(
            mixed_precision=None if precision == "float32" else precision,
            jit=False,
            rounds=args.rounds,
            masked=False,
            fit=False,
        )
        of_precision = [m for m in found if m["group"]["precision"] == precision]
        rows = [_measurement(row) for entry in of_precision for row in entry["measurements"]]
        if rows:
            step_time.output().print(step_time.table(rows, shown))
        for row in rows:
            if row.failure is not None:
                print(f"Not timed: {row.variant}: {row.failure}")
    return bool(found)


def populations(args: argparse.Namespace) -> bool:
    """Members at once against one by one, network by network."""
    file = args.output / "population.jsonl"

    def measured(group: dict[str, Any]) -> dict[str, Any]:
        precision = None if group["precision"] == "float32" else group["precision"]
        blocks = max(1, args.steps // population.STEPS)
        name, backend, batch_size = group["name"], group["backend"], group["batch_size"]
        try:
            found = population.timed(
                name, backend, args.members, args.rounds, blocks, batch_size, precision
            )
        except WorkerError as error:
            return {"failure": str(error)}
        return {"found": found}

    groups = [
        {"name": name, "backend": backend, "batch_size": batch_size, "precision": precision}
        for precision in args.precisions
        for batch_size in args.batch_size
        for name in ("mnist/1", *(f"resnet18/{n}" for n in args.filters))
        for backend in args.backends
    ]
    _one_after_the_other(file, groups, measured, args)
    entries = read_lines(file, json.loads)
    head, rule = population.HEADER.splitlines()
    print(f"| batch | precision {head}\n|--:|---{rule}")
    for entry in entries:
        group = entry["group"]
        shown = f"| not timed: {group['name']}, {group['backend']}: {entry.get('failure')} |"
        if "found" in entry:
            shown = population.line(entry["found"])
        print(f"| {group['batch_size']} | {group['precision']} {shown}")
    devices = sorted({entry["found"]["device"] for entry in entries if "found" in entry})
    print(f"On {' and '.join(devices) or 'nothing'}.")
    return bool(entries)


def study(args: argparse.Namespace) -> bool:
    """The CIFAR-10 study, until it is done or the minutes are over."""
    end = time.monotonic() + 60 * args.minutes
    os.environ["KERAS_SAM_CACHE"] = str(_cache(args))
    folder = args.output / "study"
    command = [
        *(sys.executable, "-m", "tuning.rho_search", "cifar10_resnet18", "--no-progress"),
        *("--output", str(folder), "--epochs", str(args.epochs), "--seeds", str(args.seeds)),
        *("--widths", *map(str, args.widths), "--rhos", *map(str, args.rhos)),
        *(("--take", str(args.take)) if args.take else ()),
        *(("--batch-size", str(args.batch_size[0])) if args.quick else ()),
    ]
    process = subprocess.Popen(command, cwd=REPOSITORY)
    try:
        process.wait(timeout=max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # It ends as by Ctrl-C.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=FAREWELL)
        process.kill()
    if process.returncode == 0:
        return True  # It has printed its report.
    from tuning.report import write_report
    from tuning.study import Study

    with contextlib.suppress(FileNotFoundError, ValueError):  # Nothing yet.
        found = Study.load(folder)
        print(write_report(found))
        print(f"{len(found.records())} of {found.runs} runs; the same command goes on.")
        return True
    return False


COMMANDS = {"steps": steps, "population": populations, "study": study}


def _cache(args: argparse.Namespace) -> Path:
    """The folder of decoded arrays, filled from `--data` where it lacks CIFAR-10."""
    from recipes.datasets.cache import cached, folder

    if args.data is not None:
        cached("cifar10", NAMES, lambda: unpacked(args.data))
    return folder().absolute()


def _one_after_the_other(
    file: Path,
    groups: Sequence[dict[str, Any]],
    measured: Callable[[dict[str, Any]], dict[str, Any]],
    args: argparse.Namespace,
) -> None:
    """Measures what the file does not hold yet, and adds each to it, until the time is over."""
    done = [entry["group"] for entry in read_lines(file, json.loads)]
    with contextlib.suppress(OutOfTimeError), _limit(60 * args.minutes):
        for group in groups:
            if group in done:
                continue
            print(" ".join(f"{k}={v}" for k, v in group.items()), file=sys.stderr, flush=True)
            entry = {"group": group, **measured(group)}
            append_line(file, json.dumps(entry))
    missing = len(groups) - sum(entry["group"] in groups for entry in read_lines(file, json.loads))
    if missing:
        print(f"{missing} of {len(groups)} are left; the same command goes on.")


@contextlib.contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Raises inside, once the time is over."""

    def over(*_: Any) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _variants(group: dict[str, Any], args: argparse.Namespace) -> list[Variant]:
    """SGD and SAM on each backend."""
    precision = None if group["precision"] == "float32" else group["precision"]
    place = (group["network"], group["filters"], group["batch_size"])
    return [
        Variant("keras_sam", backend, *place, rho, precision=precision)
        for backend in args.backends
        for rho in (None, step_time.RHO)
    ]


def _measurement(row: dict[str, Any]) -> Measurement:
    return Measurement(**{**row, "variant": Variant(**row["variant"])})


if __name__ == "__main__":
    sys.exit(main())
