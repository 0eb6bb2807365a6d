"""Which rho, and how much does SAM gain over SGD, at each width of a network?

Claim:   on the 8x8 digits SAM gains on SGD at every width that is tried by default; neither the
         gain nor the best rho shows a trend with width there.
Cost:    two minutes on two CPU cores for the defaults; no download.
Command: python -m tuning.rho_search digits

For each width, SGD (rho 0) and every rho is trained at several seeds; the best rho is chosen on
validation data, and its gain is reported on test data. Stop it at any time: the same command goes
on from there.

Several machines: start the same command on each, with a shared --output and the environment
variables KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT (of the chief) and KERASTUNER_TUNER_ID,
which is "chief" on one machine and different on all others.

For a network and data of your own: the class `RhoSearch`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from recipes.reporting.comparison import Comparison, Outcome, compare
from recipes.reporting.markdown import aligned
from recipes.running.files import append_line, read_lines
from recipes.running.lock import locked
from recipes.running.metric import Metric
from tuning.folder import claim
from tuning.space import Space

if TYPE_CHECKING:
    from keras_sam import SAMModel


class RhoSearch:
    """Finds the rho with which SAM trains a network best, and what it gains over SGD.

    Every rho, and rho 0 (the plain optimizer), is trained at every seed. Python's, NumPy's and
    Keras's random states are set to the seed before building and before fitting, so that runs of
    one seed start from the same weights and see the same batches: their differences are paired.

    Args:
        build_model: From rho to a new, compiled `keras_sam.SAMModel` with that rho.
        rhos: The grid, or the ends of the range: positive. Defaults to 0.01 to 0.2.
        seeds: Number of seeds, or the seeds themselves. Defaults to 3.
        objective: What rho (and in each run, the epoch) is chosen by: the name of a metric as in
            `fit`'s history, or a `keras_tuner.Objective`. Defaults to "val_accuracy".
        strategy: "grid", "random", "bayesian" or "hyperband", see `tuning.space.Space`.
            Defaults to "grid".
        trials: Number of rhos for "random" and "bayesian". Defaults to 8.
        directory: Where the results are kept, so that a search that was stopped goes on when it is
            started again. Defaults to `None`, a temporary folder.

    Raises:
        ValueError: If an argument is out of range, or it is not known whether the objective is to
            be maximised or minimised (then give a `keras_tuner.Objective`).

    Example:

    >>> import keras, numpy as np
    >>> from keras_sam import SAMModel
    >>> from tuning.rho_search import RhoSearch
    >>> def build_model(rho):
    ...     net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    ...     model = SAMModel(net, rho=rho)
    ...     loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ...     model.compile(keras.optimizers.SGD(0.5), loss, metrics=["accuracy"])
    ...     return model
    >>> x = np.random.default_rng(0).normal(size=(96, 2))
    >>> y = (x[:, 0] > x[:, 1]).astype(int)
    >>> search = RhoSearch(build_model, rhos=(0.05, 0.2), seeds=2)
    >>> search = search.fit(x[:64], y[:64], validation_data=(x[64:], y[64:]), epochs=2, verbose=0)
    >>> search.best_rho in (0.05, 0.2)
    True
    >>> print(search.table())  # doctest: +ELLIPSIS
    |  rho | val_accuracy | ...
    >>> search.best_model().model.predict(x[64:], verbose=0).shape
    (32, 2)
    """

    def __init__(
        self,
        build_model: Callable[[float], SAMModel],
        rhos: Sequence[float] = (0.01, 0.02, 0.05, 0.1, 0.2),
        seeds: int | Iterable[int] = 3,
        objective: Any = "val_accuracy",
        *,
        strategy: str = "grid",
        trials: int = 8,
        directory: str | os.PathLike[str] | None = None,
    ) -> None:
        import keras_tuner

        self.build_model = build_model
        self.space = Space(strategy, tuple(rhos), trials)
        self.seeds = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
        if not self.seeds:
            raise ValueError(f"`seeds` must be one or more. Received: `seeds={seeds}`")
        # KerasTuner knows the direction of Keras's metrics.
        self.objective = keras_tuner.Oracle(objective=objective).objective
        self._temporary = tempfile.TemporaryDirectory() if directory is None else None
        self.directory = pathlib.Path(self._temporary.name if self._temporary else directory or "")
        self._fit_arguments: tuple[tuple[Any, ...], dict[str, Any], Any] = ((), {}, None)
        self._best: tuple[float, int, SAMModel] | None = None
        self._best_mean = -math.inf

    def fit(self, *args: Any, test_data: Any = None, **kwargs: Any) -> RhoSearch:
        """Searches, with the arguments of `keras.Model.fit` for each run.

        Args:
            *args: Passed on to `fit`.
            test_data: What is evaluated once a run, by the weights of its best epoch, for the gain
                that is reported: a tuple `(x, y)` or a dataset. Defaults to `None`: the gain is
                that of the objective itself, on data that rho was chosen by.
            **kwargs: Passed on to `fit`; callbacks are copied for each run.

        Returns:
            Itself.

        Raises:
            ValueError: If the directory is that of a search with other settings, or the objective
                is not among the metrics of a run.
        """
        from tuning.search import search
        from tuning.trial_runner import is_worker

        self._fit_arguments = (args, kwargs, test_data)
        settings = {
            "space": dataclasses.asdict(self.space),
            "seeds": self.seeds,
            "objective": [self.objective.name, self.objective.direction],
            "fit": {key: kwargs.get(key) for key in ("epochs", "batch_size", "steps_per_epoch")},
        }
        with contextlib.ExitStack() as stack:
            if not is_worker():
                self.directory.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.directory))
                claim(self.directory / "search.json", settings)
            search(["network"], self.space, self._trial, epochs=self._epochs)
        return self

    @property
    def comparison(self) -> Comparison:
        """All that was found: SAM at every rho against the plain optimizer."""
        runs = [run for run in self._runs() if run["epochs"] == self._epochs]
        if not runs:
            raise ValueError(f"Nothing was searched yet. Received: `directory={self.directory}`")
        return compare(
            [
                Outcome(
                    rho=run["rho"],
                    seed=run["seed"],
                    score=_number(run["score"]),
                    test=_number(run["test"]),
                    train_loss=_number(run["train_loss"]),
                )
                for run in runs
            ],
            runs[0]["parameters"],
            metric=Metric(self.objective.name, self.objective.direction == "max", percent=False),
        )

    @property
    def best_rho(self) -> float:
        """The rho with the best mean objective, among those at which no run diverged.

        Raises:
            ValueError: If there is none.
        """
        best = self.comparison.best
        if best is None:
            raise ValueError("There is no best rho: runs diverged at every one.")
        return best.rho

    def table(self) -> str:
        """One line a rho, in Markdown: mean and standard error over seeds, the gain paired."""
        sign = 1 if self.objective.direction == "max" else -1
        lines = [["rho", self.objective.name, "test", "gain", "train loss", "diverged"]]
        for result in self.comparison.results:
            lines.append(
                [
                    f"{result.rho:g}",
                    f"{sign * result.score:.4f}",
                    f"{result.test:.4f} ± {result.test_error:.4f}",
                    f"{result.gain:+.4f} ± {result.gain_error:.4f}" if result.rho else "",
                    f"{result.train_loss:.4f}",
                    str(result.diverged or ""),
                ]
            )
        return aligned(lines)

    def best_model(self) -> SAMModel:
        """The trained model of the best rho and its best seed, with the weights of its best epoch.

        It is the one of the search where this process has trained it; otherwise it is trained
        again, in one run. `.model` of it is the plain network.
        """
        rho = self.best_rho
        scores = next(r.scores for r in self.comparison.results if r.rho == rho)
        seed = max(scores, key=lambda seed: scores[seed])
        if self._best is None or self._best[:2] != (rho, seed):
            self._best = (rho, seed, self._train(rho, seed, self._epochs)[0])
        return self._best[2]

    @property
    def _epochs(self) -> int:
        return int(self._fit_arguments[1].get("epochs", 1))

    def _trial(self, network: str, rho: float, epochs: int | None) -> float | None:
        """All seeds of one rho, those that are recorded already left out."""
        from tuning.trial_runner import is_worker

        epochs = self._epochs if epochs is None else epochs
        name = f"-{os.environ['KERASTUNER_TUNER_ID']}" if is_worker() else ""
        candidate: tuple[float, int, SAMModel] | None = None
        before = {r["seed"]: r for r in self._runs() if (r["rho"], r["epochs"]) == (rho, epochs)}
        runs: dict[int, dict[str, Any]] = {}
        for seed in self.seeds:
            if seed in before:
                runs[seed] = before[seed]
                continue
            model, runs[seed] = self._train(rho, seed, epochs)
            append_line(self.directory / f"records{name}.jsonl", json.dumps(runs[seed]))
            if max(runs, key=lambda s: _number(runs[s]["score"])) == seed:
                candidate = (rho, seed, model)
        scores = [_number(run["score"]) for run in runs.values()]
        if any(math.isnan(score) for score in scores):
            return None
        mean = sum(scores) / len(scores)
        if rho > 0 and epochs == self._epochs and mean > self._best_mean:
            self._best, self._best_mean = candidate, mean
        return mean

    def _train(self, rho: float, seed: int, epochs: int) -> tuple[SAMModel, dict[str, Any]]:
        """One run: the model with the weights of its best epoch, and what is recorded of it."""
        from tuning.own_run import own_run

        args, kwargs, test_data = self._fit_arguments
        return own_run(self.build_model, rho, seed, epochs, self.objective, test_data, args, kwargs)

    def _runs(self) -> list[dict[str, Any]]:
        runs: dict[tuple[float, int, int], dict[str, Any]] = {}
        for file in sorted(self.directory.glob("records*.jsonl")):
            for run in read_lines(file, json.loads):
                runs.setdefault((run["rho"], run["seed"], run["epochs"]), run)
        return [run for run in runs.values() if run["seed"] in self.seeds]


def _number(value: float | None) -> float:
    return math.nan if value is None else value


if __name__ == "__main__":
    from tuning.command_line import main

    main(__doc__)
