"""Runs all trials of a search: in this process, or as the chief or a worker of several."""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import keras_tuner

from tuning.cluster import check_cluster, is_chief
from tuning.space import Space
from tuning.study_oracle import StudyOracle
from tuning.trial_runner import RunTrial, TrialError, TrialRunner

# How long a chief waits, when all is done, for workers to come and hear it.
_FAREWELL = 10.0


def search(
    networks: Sequence[str],
    space: Space,
    run: RunTrial,
    *,
    epochs: int,
    objective: str = "score",
    silence: float = 60.0,
    chief_timeout: float = 300.0,
    watch: Callable[[StudyOracle], None] = lambda oracle: None,
    scratch: pathlib.Path | None = None,
) -> None:
    """Searches rho on each network, and returns when every trial has ended.

    What a trial finds is for `run` to record; a trial that is in the records already, `run` answers
    from there. So a search is resumed by starting it again.

    Args:
        networks: Names of the networks, in the order in which they are searched.
        space: Which rhos are tried.
        run: `(network, rho, epochs) -> score`, higher is better, or `None` if training diverged;
            `epochs` is `None` for a full run. An exception ends the search, and is raised.
        epochs: Epochs of a full run.
        objective: Name of the score. Defaults to "score".
        silence: Seconds after which a chief takes a silent worker for dead. Defaults to 60.
        chief_timeout: Seconds after which a worker gives up on its chief. Defaults to 300.
        watch: In a chief, called again and again with the oracle while trials are running.
        scratch: A folder for KerasTuner's own state, which is removed at the end, and at the start
            where a killed search has left it. Defaults to `None`, a temporary folder.

    Raises:
        RuntimeError: If the chief ends before the search does, or is not to be found.
        ValueError: If a time or KerasTuner's environment variables are not right.
    """
    for name, value in (("silence", silence), ("chief_timeout", chief_timeout)):
        if not 0 < value < math.inf:
            raise ValueError(f"`{name}` must be positive and finite. Received: `{name}={value}`")
    check_cluster()
    goal = keras_tuner.Objective(objective, direction="max")
    asked = [oracle for name in networks for oracle in space.oracles(name, goal, epochs)]
    oracle = StudyOracle(asked, goal, silence)
    # KerasTuner's own state is scratch: after a restart, the records answer.
    with _folder(scratch) as folder:
        runner = TrialRunner(oracle, run, folder, chief_timeout)
        if is_chief():
            _serve(runner, oracle, watch)
            return
        try:
            runner.search()
        except TrialError as error:
            raise error.cause from None


def _serve(runner: TrialRunner, oracle: StudyOracle, watch: Callable[[StudyOracle], None]) -> None:
    """Hands out trials until all have ended."""
    failure: list[BaseException] = []

    def serve() -> None:
        try:
            runner.search()
        except BaseException as error:
            failure.append(error)

    # KerasTuner's chief may serve on for long after the end, for a worker that has died.
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    while not oracle.finished.wait(0.5):
        if not thread.is_alive():
            why = f": {failure[0]}" if failure else ""
            raise RuntimeError(f"The chief ended before the search did{why}.")
        watch(oracle)
    deadline = time.monotonic() + _FAREWELL
    while oracle.tuner_ids and time.monotonic() < deadline:
        time.sleep(0.1)
    watch(oracle)


@contextlib.contextmanager
def _folder(scratch: pathlib.Path | None) -> Iterator[str]:
    if scratch is None:
        with tempfile.TemporaryDirectory(prefix="rho_search_") as folder:
            yield folder
        return
    shutil.rmtree(scratch, ignore_errors=True)
    os.makedirs(scratch)
    try:
        yield str(scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
