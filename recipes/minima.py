"""How sharp are the minima? SGD and SAM over a grid of rho, on a perceptron fitted to few examples.

The setting of the theory: squared loss 1/2 ||f(x) - onehot(y)||^2, a constant learning rate eta, no
momentum, no weight decay, unnormalised SAM (e = rho g), training until the loss is near zero. Then,
over the training examples: the largest eigenvalue and the trace of the Hessian, and s_2, the
non-uniformity of the examples' Hessians.

Claim:   SAM's minima are flatter and more uniform, the more so the larger rho. Gradient descent at
         a minimum is stable along a curvature lambda only if eta lambda < 2; the same step with SAM
         multiplies a deviation by 1 - eta lambda (1 + rho lambda), and is stable only if
             eta lambda (1 + rho lambda) < 2.
         Training drives lambda_max up towards these limits, the edge of stability.
Cost:    MNIST through tensorflow-datasets, of which 1,000 images are trained on; about ten minutes
         on two CPU cores. With --quick no download, and half a minute.
Command: python -m recipes.minima
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recipes.command_line import OUTPUT
from recipes.comparison import standard_error
from recipes.files import append_line, read_lines, write_atomically
from recipes.lock import locked
from recipes.runtime import Runtime
from recipes.table import aligned

DATASETS = ("mnist", "digits")
QUICK = {"dataset": "digits", "width": 0.3, "train_size": 200, "batch_size": 50, "goal": 0.01}
# The loss is looked at after so many steps, in one go: fewer returns to Python.
_STEPS = 100
# The pipelines cut off a validation set, which nothing here is selected by.
_UNUSED = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One run: what its result depends on.

    Args:
        dataset: "mnist" or "digits".
        width: Factor w of the [300 w, 100 w] hidden units.
        train_size: Number of training examples, a multiple of `batch_size`.
        batch_size: Examples a step.
        learning_rate: eta, > 0.
        goal: Training ends when the mean loss of the last 100 steps is at most this, > 0.
        max_steps: Training ends after so many steps at the latest, rounded up to hundreds.
        normalize: Whether the perturbation is `rho g / ||g||` instead of `rho g`.
        rho: Radius of the perturbation, >= 0; 0 is SGD.
        seed: Fixes initial weights and the order of the examples.

    Raises:
        ValueError: If a setting is out of range.
    """

    dataset: str = "mnist"
    width: float = 1.0
    train_size: int = 1000
    batch_size: int = 100
    learning_rate: float = 0.1
    goal: float = 1e-3
    max_steps: int = 20_000
    normalize: bool = False
    rho: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        self._require("dataset", self.dataset in DATASETS, f"one of {', '.join(DATASETS)}")
        for name in ("width", "learning_rate", "goal"):
            value = getattr(self, name)
            self._require(name, math.isfinite(value) and value > 0, "finite and > 0")
        for name in ("train_size", "batch_size", "max_steps"):
            self._require(name, getattr(self, name) >= 1, ">= 1")
        self._require("rho", math.isfinite(self.rho) and self.rho >= 0, "finite and >= 0")
        self._require("seed", self.seed >= 0, ">= 0")
        multiple = self.train_size % self.batch_size == 0
        self._require("train_size", multiple, f"a multiple of `batch_size`, {self.batch_size}")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise ValueError(
                f"`{name}` must be {allowed}. Received: `{name}={getattr(self, name)!r}`"
            )

    @property
    def limit(self) -> float:
        """The largest curvature that the method is stable at; NaN for normalised SAM.

        2 / eta for SGD; for SAM the positive root of eta lambda (1 + rho lambda) = 2.
        """
        if self.rho == 0:
            return 2 / self.learning_rate
        if self.normalize:
            return math.nan
        return (math.sqrt(1 + 8 * self.rho / self.learning_rate) - 1) / (2 * self.rho)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What one run came to; all measured on the training examples but `test_accuracy`.

    Args:
        setting: The run's settings.
        environment: Versions, backend and device.
        steps: How many were taken.
        loss: Of the final weights, the mean of 1/2 ||f(x) - onehot(y)||^2; NaN if they diverged, as
            everything below then.
        test_accuracy: A fraction.
        lambda_max: The largest eigenvalue of the Hessian.
        trace: Of the Hessian, by Hutchinson's estimator.
        trace_error: Its standard error within the run.
        s_2: The non-uniformity of the examples' Hessians.
        seconds: Time for training and measuring.
    """

    setting: Setting
    environment: dict[str, Any]
    steps: int
    loss: float
    test_accuracy: float
    lambda_max: float
    trace: float
    trace_error: float
    s_2: float
    seconds: float

    @property
    def diverged(self) -> bool:
        """Whether the loss is no longer finite."""
        return not math.isfinite(self.loss)

    def to_json(self) -> str:
        """One line of strict JSON: what is not finite is null."""
        data = dataclasses.asdict(self)
        return json.dumps(
            {
                key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in data.items()
            },
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, line: str) -> Result:
        """The result that `to_json` wrote, with NaN for null."""
        data = json.loads(line)
        data = {key: math.nan if value is None else value for key, value in data.items()}
        return cls(**{**data, "setting": Setting(**data["setting"])})


def measure(setting: Setting) -> Result:
    """Trains a network and measures its minimum.

    Raises:
        ValueError: If the data are not there, or fewer than `train_size`.
    """
    import keras
    from keras import ops

    from keras_sam import SAMModel
    from keras_sam.sharpness import (
        LossSurface,
        hessian_eigenvalues,
        hessian_trace,
        non_uniformity,
    )
    from recipes import datasets, networks

    def squared_loss(y: Any, z: Any) -> Any:
        labels = ops.cast(ops.reshape(y, [-1]), "int32")
        target = ops.one_hot(labels, data.classes, dtype=z.dtype)
        return ops.sum(ops.square(z - target), axis=-1) / 2

    def accuracy(y: Any, z: Any) -> Any:
        return keras.metrics.sparse_categorical_accuracy(y, z)

    class Goal(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            if not setting.goal < logs["loss"] < math.inf:
                self.model.stop_training = True

    began = time.monotonic()
    keras.utils.set_random_seed(setting.seed)
    load = datasets.mnist if setting.dataset == "mnist" else datasets.digits
    data = load(
        setting.batch_size,
        validation_split=_UNUSED,
        seed=setting.seed,
        take=round(setting.train_size / (1 - _UNUSED)),
    )
    if data.train_examples != setting.train_size:
        raise ValueError(
            f"`train_size` must be at most what {setting.dataset} has, {data.train_examples}. "
            f"Received: `train_size={setting.train_size}`"
        )
    network = networks.mlp(
        setting.width, input_shape=data.input_shape, classes=data.classes, seed=setting.seed
    )
    model = SAMModel(network, setting.rho, normalize=setting.normalize)
    model.compile(
        keras.optimizers.SGD(setting.learning_rate),
        squared_loss,
        metrics=[accuracy],
        steps_per_execution=Runtime().steps(_STEPS, replicas=1),
    )
    history = model.fit(
        data.train(0),
        epochs=math.ceil(setting.max_steps / _STEPS),
        steps_per_epoch=_STEPS,
        callbacks=[Goal()],
        shuffle=False,  # The data come in the order that the seed asks for.
        verbose=0,
    )
    steps = _STEPS * len(history.epoch)

    # One epoch of the stream is every training example once.
    surface = LossSurface(model, data.train(0).take(data.steps_per_epoch), batch_size=500)
    loss = surface.loss()
    names = ("lambda_max", "trace", "trace_error", "s_2", "test_accuracy")
    measured = dict.fromkeys(names, math.nan)
    if math.isfinite(loss):
        trace = hessian_trace(surface)
        measured = {
            "lambda_max": float(hessian_eigenvalues(surface)[0]),
            "trace": trace.value,
            "trace_error": trace.standard_error,
            "s_2": non_uniformity(surface, k=2, tolerance=1e-2),
            "test_accuracy": model.evaluate(data.test, verbose=0, return_dict=True)["accuracy"],
        }
    return Result(
        setting=setting,
        environment=Runtime().environment(replicas=1),
        steps=steps,
        loss=loss,
        seconds=round(time.monotonic() - began, 1),
        **measured,
    )


def table(results: Sequence[Result]) -> str:
    """One row for each rho, mean and standard error over seeds, as Markdown; notes below it."""
    header = ["rho", "seeds", "train loss", "test accuracy %", "lambda_max", "limit"]
    lines = [[*header, "eta lambda_max", "trace", "s_2"]]
    notes = ["Mean ± standard error over seeds. limit: the largest stable lambda."]
    for rho, group in _by_rho(results):
        fine = [result for result in group if not result.diverged]
        eta = group[0].setting.learning_rate
        columns: list[tuple[Callable[[Result], float], str]] = [
            (lambda r: r.loss, ".1e"),
            (lambda r: 100 * r.test_accuracy, ".2f"),
            (lambda r: r.lambda_max, ".2f"),
            (lambda r: r.setting.limit, ".2f"),
            (lambda r, eta=eta: eta * r.lambda_max, ".2f"),  # type: ignore[misc]
            (lambda r: r.trace, ".0f"),
            (lambda r: r.s_2, ".1f"),
        ]
        cells = [_cell([value(result) for result in fine], form) for value, form in columns]
        lines.append(["SGD" if rho == 0 else f"{rho:g}", str(len(fine)), *cells])
        if len(fine) < len(group):
            notes.append(f"rho {rho:g}: {len(group) - len(fine)} run(s) diverged.")
        late = [result for result in fine if result.loss > result.setting.goal]
        if late:
            notes.append(
                f"rho {rho:g}: {len(late)} run(s) above the goal of {late[0].setting.goal:g} "
                f"at the end."
            )
    return "\n".join([aligned(lines), "", *notes])


def figure(results: Sequence[Result]) -> Any:
    """lambda_max with the edge of stability, trace and s_2 against rho: a matplotlib `Figure`."""
    from matplotlib.figure import Figure

    groups = [
        (rho, [result for result in group if not result.diverged])
        for rho, group in _by_rho(results)
    ]
    groups = [(rho, group) for rho, group in groups if group]
    rhos = [rho for rho, _ in groups]
    positive = [rho for rho in rhos if rho > 0]
    drawn = Figure(figsize=(12, 3.6), layout="constrained")
    panels = drawn.subplots(1, 3)
    for axes, (name, label) in zip(
        panels,
        [("lambda_max", "largest eigenvalue"), ("trace", "trace"), ("s_2", "non-uniformity $s_2$")],
        strict=True,
    ):
        values = [[getattr(result, name) for result in group] for _, group in groups]
        errors = [np.nan_to_num(standard_error(value)) for value in values]
        means = [np.mean(value) for value in values]
        axes.errorbar(
            rhos, means, errors, fmt="o-", ms=4, capsize=2, color="#D55E00", label="measured"
        )
        if positive:
            axes.set_xscale("symlog", linthresh=min(positive))
        axes.set_xticks(rhos, labels=["SGD" if rho == 0 else f"{rho:g}" for rho in rhos])
        axes.set_xticks([], minor=True)
        axes.set(xlabel="rho", ylabel=label)
        axes.spines[["top", "right"]].set_visible(False)
    if groups:
        one = groups[0][1][0].setting
        grid = np.linspace(0, max(rhos), 2000)
        limits = [dataclasses.replace(one, rho=float(rho)).limit for rho in grid]
        panels[0].plot(grid, limits, color="0.5", linestyle="--", label="edge of stability")
        panels[0].legend(frameon=False, fontsize="small")
        for axes in panels:
            axes.set_ylim(bottom=0)
        seeds = max(len(group) for _, group in groups)
        drawn.suptitle(
            f"{one.dataset}, {one.train_size} examples, width {one.width:g}, learning rate "
            f"{one.learning_rate:g}: minima of SGD and SAM, {seeds} seed(s), bars: standard error"
        )
    return drawn


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what is not done yet, prints the table and draws the figure."""
    parser = _parser()
    parsed = vars(parser.parse_args(arguments))
    output, rhos, seeds = parsed.pop("output"), parsed.pop("rhos"), parsed.pop("seeds")
    if parsed.pop("quick"):
        parsed = {**QUICK, **parsed}
    try:
        settings = [
            Setting(**parsed, rho=rho, seed=seed) for seed in range(seeds) for rho in sorted(rhos)
        ]
    except ValueError as error:
        parser.error(str(error))
    if not settings:
        parser.error(f"`seeds` must be >= 1. Received: `seeds={seeds}`")

    folder = output / "minima"
    path = folder / "results.jsonl"
    try:
        with locked(folder):
            for number, setting in enumerate(settings, start=1):
                if _find(path, setting) is None:
                    result = measure(setting)
                    append_line(path, result.to_json())
                    print(f"{number}/{len(settings)}  {_line(result)}", flush=True)
            results = [found for setting in settings if (found := _find(path, setting))]
            text = table(results)
            write_atomically(folder / "minima.md", text.encode() + b"\n")
            figure(results).savefig(folder / "minima.png", dpi=150)
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command goes on with the run that it was at.")
    except (RuntimeError, ValueError) as error:
        sys.exit(str(error))
    print(text)
    print(folder / "minima.png")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recipes.minima",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT, help="folder of runs")
    quick = ", ".join(f"{key} {value}" for key, value in QUICK.items())
    parser.add_argument("--quick", action="store_true", help=f"small and fast: {quick}")
    parser.add_argument(
        "--rhos",
        type=float,
        nargs="+",
        default=[0.0, 0.01, 0.03, 0.1, 0.3],
        help="radii; 0 is SGD (default: 0 0.01 0.03 0.1 0.3)",
    )
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    for field in dataclasses.fields(Setting):
        if field.name in ("rho", "seed"):
            continue
        flag = "--" + field.name.replace("_", "-")
        more: dict[str, Any] = {"type": type(field.default)}
        if isinstance(field.default, bool):
            more = {"action": argparse.BooleanOptionalAction}
        elif field.name == "dataset":
            more["choices"] = DATASETS
        parser.add_argument(
            flag, default=argparse.SUPPRESS, help=f"default: {field.default}", **more
        )
    return parser


def _find(path: pathlib.Path, setting: Setting) -> Result | None:
    results = read_lines(path, Result.from_json)
    return next((result for result in results if result.setting == setting), None)


def _by_rho(results: Sequence[Result]) -> list[tuple[float, list[Result]]]:
    rhos = sorted({result.setting.rho for result in results})
    return [(rho, [r for r in results if r.setting.rho == rho]) for rho in rhos]


def _cell(values: Sequence[float], form: str) -> str:
    if not values or math.isnan(values[0]):
        return "-"
    text = format(np.mean(values), form)
    error = standard_error(values)
    return text if math.isnan(error) or error == 0 else f"{text} ± {error:{form}}"


def _line(result: Result) -> str:
    setting = result.setting
    text = f"rho {setting.rho:g}, seed {setting.seed}: {result.steps} steps, "
    if result.diverged:
        return text + f"diverged, {result.seconds} s"
    return (
        f"{text}loss {result.loss:.1e}, lambda_max {result.lambda_max:.2f} "
        f"(limit {setting.limit:.2f}), trace {result.trace:.0f}, s_2 {result.s_2:.1f}, "
        f"{result.seconds} s"
    )


if __name__ == "__main__":
    main()
