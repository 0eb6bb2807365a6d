"""Runs all trials of a search: in this process, or as the chief or a worker of several."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence

import keras_tuner

from tuning.space import Space
from tuning.study_oracle import StudyOracle
from tuning.trial_runner import RunTrial, TrialRunner, is_chief

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
) -> None:
    """Searches rho on each network, and returns when every trial has ended.

    What a trial finds is for `run` to record; a trial that is in the records already, `run` answers
    from there. So a search is resumed by starting it again.

    Args:
        networks: Names of the networks, in the order in which they are searched.
        space: Which rhos are tried.
        run: `(network, rho, epochs) -> score`, higher is better, or `None` if training diverged;
            `epochs` is `None` for a full run. An exception ends the search.
        epochs: Epochs of a full run.
        objective: Name of the score. Defaults to "score".
        silence: Seconds after which a chief takes a silent worker for dead. Defaults to 60.
        chief_timeout: Seconds after which a worker gives up on its chief. Defaults to 300.
        watch: In a chief, called again and again with the oracle while trials are running.
    """
    goal = keras_tuner.Objective(objective, direction="max")
    asked = [oracle for name in networks for oracle in space.oracles(name, goal, epochs)]
    oracle = StudyOracle(asked, goal, silence)
    # KerasTuner's own state is scratch: after a restart, the records answer.
    with tempfile.TemporaryDirectory(prefix="rho_search_") as scratch:
        runner = TrialRunner(oracle, run, scratch, chief_timeout)
        if not is_chief():
            runner.search()
            return
        # KerasTuner's chief may serve on for long after the end, for a worker that has died.
        threading.Thread(target=runner.search, daemon=True).start()
        while not oracle.finished.wait(0.5):
            watch(oracle)
        deadline = time.monotonic() + _FAREWELL
        while oracle.tuner_ids and time.monotonic() < deadline:
            time.sleep(0.1)
        watch(oracle)
