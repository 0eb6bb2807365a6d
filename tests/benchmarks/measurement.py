"""Times variants against each other: one worker each, in turn, round after round."""

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.benchmarks.variant import Variant
from tests.benchmarks.worker_process import WorkerError, WorkerProcess


@dataclass
class Measurement:
    """What was found out about one variant.

    Attributes:
        variant: What was timed.
        parameters: Trainable weights.
        device: What it was computed on.
        versions: Of its packages.
        step_seconds: Seconds a step, one value a round.
        fit_seconds: Seconds a step inside the package's own loop, one value a round; may be empty.
        built_memory: Peak resident memory when the net was built, before any step, in MiB.
        peak_memory: Peak resident memory after the last timed step, in MiB.
        device_peak_memory: Peak of the memory allocated on the accelerator, in MiB, or `None`.
        failure: Why it could not be timed, or `None`.
    """

    variant: Variant
    parameters: int | None = None
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    step_seconds: list[float] = field(default_factory=list)
    fit_seconds: list[float] = field(default_factory=list)
    built_memory: float = 0.0
    peak_memory: float = 0.0
    device_peak_memory: float | None = None
    failure: str | None = None

    @property
    def minimum(self) -> float:
        return min(self.step_seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.step_seconds)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure(
    variants: Sequence[Variant],
    rounds: int,
    steps: int,
    fit: bool = False,
    report: Callable[[str], None] = lambda message: None,
    at_once: bool = False,
) -> list[Measurement]:
    """Times the variants, which should train equal networks, in turn.

    Args:
        variants: What to time. One that fails, or whose packages are not installed, says so in its
            measurement and is left out of the rounds.
        rounds: How often each has its turn, >= 1.
        steps: Steps in a turn, >= 1.
        fit: Whether the packages' own loops are timed as well, after all rounds of steps.
        report: Is told what is being done.
        at_once: Whether all start, and compile, side by side. Defaults to `False`.

    Returns:
        One measurement a variant, in their order.

    Raises:
        RuntimeError: If the networks are not equal in their number of trainable weights.
    """
    measurements = [Measurement(variant) for variant in variants]
    workers: list[WorkerProcess | None] = []
    with ExitStack() as stack:

        def attempt(index: int, what: str, count: int) -> None:
            measurement, worker = measurements[index], workers[index]
            if worker is None:
                return
            try:
                answer = worker.ask(what, count)
            except WorkerError as error:
                measurement.failure = f"{what}: {error}"
                workers[index] = None
                return
            if what == "fit":
                measurement.fit_seconds.append(answer["seconds"] / count)
            else:
                measurement.step_seconds.append(answer["seconds"] / count)
                measurement.peak_memory = answer["peak"]
                measurement.device_peak_memory = answer["device_peak"]

        for measurement in measurements:
            report(f"starting {measurement.variant.step_name}")
            workers.append(_start(measurement, stack, wait=not at_once))
        if at_once:
            workers = [_ready(*pair) for pair in zip(measurements, workers, strict=True)]
        _check_equal_networks(measurements)
        report(f"{rounds} rounds of {steps} steps")
        for _ in range(rounds):
            for index in range(len(workers)):
                attempt(index, "steps", steps)
        if fit:
            report(f"{rounds} rounds of fit over {steps} batches")
            for _ in range(rounds):
                for index, variant in enumerate(variants):
                    if variant.has_fit:
                        attempt(index, "fit", steps)
    return measurements


def _start(measurement: Measurement, stack: ExitStack, wait: bool) -> WorkerProcess | None:
    if missing := measurement.variant.missing_package():
        measurement.failure = f"skipped: {missing} is not installed"
        return None
    worker = stack.enter_context(WorkerProcess(measurement.variant, wait=False))
    return _ready(measurement, worker) if wait else worker


def _ready(measurement: Measurement, worker: WorkerProcess | None) -> WorkerProcess | None:
    if worker is None:
        return None
    try:
        worker.wait()
    except WorkerError as error:
        measurement.failure = str(error)
        return None
    description = worker.description
    measurement.parameters = description["parameters"]
    measurement.device = description["device"]
    measurement.versions = description["versions"]
    measurement.built_memory = description["built"]
    return worker


def _check_equal_networks(measurements: Sequence[Measurement]) -> None:
    counts = {m.variant.step_name: m.parameters for m in measurements if m.parameters is not None}
    if len(set(counts.values())) > 1:
        raise RuntimeError(f"The networks are not equal; their trainable weights: {counts}")
