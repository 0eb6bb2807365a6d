"""Which rho, and how much does SAM gain over SGD, at each width of a network?

Claim:   on the 8x8 digits SAM gains on SGD at every width that is tried by default; neither the
         gain nor the best rho shows a trend with width there.
Cost:    a minute on two CPU cores for the defaults; no download.
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

from recipes.files import append_line
from recipes.reporting.comparison import Comparison, compare
from recipes.running.lock import locked
from recipes.running.metric import Metric
from tuning.cluster import is_worker, worker_suffix
from tuning.folder import claim
from tuning.own_records import number, outcome, read_runs
from tuning.own_table import table
from tuning.space import Space, checked_seeds

if TYPE_CHECKING:
    from keras_sam import SAMModel
    from tuning.fit_arguments import FitArguments
    from tuning.own_population import OwnPopulation


class RhoSearch:
    """Finds the rho with which SAM trains a network best, and what it gains over SGD.

    Every rho, and rho 0 (the plain optimizer), is trained at every seed. Python's, NumPy's and
    Keras's random states are set to the seed before building and before fitting, so that runs of
    one seed start from the same weights and see the same batches: their differences are paired.

    Args:
        build_model: From rho to a new, compiled `keras_sam.SAMModel` with that rho.
        rhos: The grid, or the ends of the range: positive. Defaults to 0.01 to 0.2.
        seeds: Number of seeds, or the seeds themselves, integers in [0, 2^32). Defaults to 3.
        objective: What rho (and in each run, the epoch) is chosen by: the name of a metric as in
            `fit`'s history, or a `keras_tuner.Objective`. Defaults to "val_accuracy".
        strategy: "grid", "random", "bayesian" or "hyperband", see `tuning.space.Space`.
            Defaults to "grid".
        trials: Number of rhos for "random" and "bayesian". Defaults to 8.
        population: Whether runs are trained at once, as one `keras_sam.Population`: the seeds of a
            rho, of a grid (unless workers share it) those of all rhos. Records, and what follows
            from them, are those of one by one, to rounding, as are weights. For data that are
            arrays, a `build_model` that makes the same model for all rhos, and no callbacks;
            whatever else a population cannot do is refused. A checkpoint is kept every 10 seconds.
            Defaults to `False`, one run after the other.
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
    |  rho | ...
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
        population: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> None:
        import keras_tuner

        if not callable(build_model):
            raise TypeError(
                f"`build_model` must be a function of rho. Received: `build_model={build_model!r}`"
            )
        if directory is not None and not isinstance(directory, str | os.PathLike):
            raise TypeError(f"`directory` must be a path. Received: `directory={directory!r}`")
        if not isinstance(population, bool):
            raise TypeError(
                f"`population` must be True or False. Received: `population={population!r}`"
            )
        self.build_model = build_model
        self.space = Space(strategy, rhos, trials)
        self.seeds = checked_seeds(seeds)
        # KerasTuner knows the direction of Keras's metrics.
        self.objective = keras_tuner.Oracle(objective=objective).objective
        self._temporary = tempfile.TemporaryDirectory() if directory is None else None
        self.directory = pathlib.Path(self._temporary.name if self._temporary else directory or "")
        self.population = population
        self._arguments: FitArguments | None = None
        self._together: OwnPopulation | None = None
        self._best: tuple[float, int, SAMModel] | None = None
        self._best_mean = -math.inf

    def fit(self, *args: Any, test_data: Any = None, **kwargs: Any) -> RhoSearch:
        """Searches, with the arguments of `keras.Model.fit` for each run.

        Args:
            *args: Passed on to `fit`. Data may also be a function that makes them, which each run
                calls after the random states are set to its seed: for datasets that shuffle.
            test_data: What is evaluated once a run, by the weights of its best epoch, for the gain
                that is reported: `(x, y)`, `(x, y, sample_weight)`, a dataset, or a function that
                makes one. Defaults to `None`: the gain is that of the objective itself, on data
                that rho was chosen by.
            **kwargs: Passed on to `fit`. Callbacks are copied for each run, or made by a function.

        Returns:
            Itself.

        Raises:
            TypeError: If data are an iterator, which the first run would use up.
            ValueError: If the directory is that of another search (another network, other data or
                settings), if a dataset comes in another order at each pass, if the objective is
                not among the metrics of a run, or if a population cannot do what is asked for.
        """
        from tuning.fit_arguments import FitArguments, model_fingerprint
        from tuning.own_run import build
        from tuning.search import search

        self._arguments = arguments = FitArguments(args, kwargs, test_data)
        settings = {
            "space": dataclasses.asdict(self.space),
            "seeds": self.seeds,
            "objective": [self.objective.name, self.objective.direction],
            "fit": arguments.fingerprint(),
            "network": model_fingerprint(build(self.build_model, 0.0, self.seeds[0])),
        }
        self._together = self._population() if self.population else None
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
        metric = Metric(self.objective.name, self.objective.direction == "max", percent=False)
        return compare(list(map(outcome, runs)), runs[0]["parameters"], metric=metric)

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
        """One line a rho, in Markdown: mean and standard error over seeds, the gain paired.

        Without data to test on, the gain is that of the objective.
        """
        tested = self._arguments is not None and self._arguments.test_data is not None
        return table(self.comparison, self.objective, tested)

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
        return 1 if self._arguments is None else self._arguments.epochs

    def _trial(self, network: str, rho: float, epochs: int | None) -> float | None:
        """All seeds of one rho, those that are recorded already left out."""
        epochs = self._epochs if epochs is None else epochs
        file = self.directory / f"records{worker_suffix()}.jsonl"
        if self._together is not None:
            known = {(r["rho"], r["seed"]) for r in self._runs() if r["epochs"] == epochs}
            if left := [run for run in self._peers(rho) if run not in known]:
                self._together.train(left, epochs, file)
        candidate: tuple[float, int, SAMModel] | None = None
        before = {r["seed"]: r for r in self._runs() if (r["rho"], r["epochs"]) == (rho, epochs)}
        runs: dict[int, dict[str, Any]] = {}
        for seed in self.seeds:
            if seed in before:
                runs[seed] = before[seed]
                continue
            model, runs[seed] = self._train(rho, seed, epochs)
            append_line(file, json.dumps(runs[seed]))
            if max(runs, key=lambda s: number(runs[s]["score"])) == seed:
                candidate = (rho, seed, model)
        scores = [number(run["score"]) for run in runs.values()]
        if any(math.isnan(score) for score in scores):
            return None
        mean = sum(scores) / len(scores)
        if rho > 0 and epochs == self._epochs and mean > self._best_mean:
            if self._together is not None:
                best_seed = max(runs, key=lambda seed: runs[seed]["score"])
                trained = self._together.model(rho, best_seed, epochs)
                candidate = None if trained is None else (rho, best_seed, trained)
            self._best, self._best_mean = candidate, mean
        return mean

    def _peers(self, rho: float) -> list[tuple[float, int]]:
        """The runs that are trained together with those of a trial: its seeds.

        Of a grid, those of all rhos: what its later trials ask for is then recorded. Those of rho 0
        are by themselves, as they take one pass a step; and workers take a rho each.
        """
        whole = rho > 0 and self.space.strategy == "grid" and not worker_suffix()
        rhos = self.space.rhos if whole else (rho,)
        return [(r, seed) for r in rhos for seed in self.seeds]

    def _population(self) -> OwnPopulation:
        from tuning.own_population import OwnPopulation

        assert self._arguments is not None
        return OwnPopulation(
            self.build_model,
            self.space.rhos,
            self.seeds,
            self.objective,
            self._arguments,
            self.directory / f"population{worker_suffix()}.npz",
        )

    def _train(self, rho: float, seed: int, epochs: int) -> tuple[SAMModel, dict[str, Any]]:
        """One run: the model with the weights of its best epoch, and what is recorded of it."""
        from tuning.own_run import own_run

        assert self._arguments is not None
        return own_run(self.build_model, rho, seed, epochs, self.objective, self._arguments)

    def _runs(self) -> list[dict[str, Any]]:
        return read_runs(self.directory, self.seeds)


if __name__ == "__main__":
    from tuning.command_line import main

    main(__doc__)
