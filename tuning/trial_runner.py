"""The loop of a process that runs trials: alone, or as a worker of a chief."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial
from keras_tuner.errors import FatalRuntimeError

from tuning.cluster import address, is_worker
from tuning.space import rounded
from tuning.study_oracle import StudyOracle

# From a network's name, rho and a number of epochs (None: all) to the score; None if it diverged.
RunTrial: TypeAlias = Callable[[str, float, int | None], float | None]


class TrialError(FatalRuntimeError):
    """A trial raised. KerasTuner would go on after any other error.

    Args:
        cause: What it raised.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(repr(cause))
        self.cause = cause


class TrialRunner(BaseTuner):
    """A KerasTuner tuner that trains by a function, and keeps nothing on disk itself.

    KerasTuner's environment variables decide what this process is: without them it runs all
    trials; with `KERASTUNER_ORACLE_IP` and `KERASTUNER_ORACLE_PORT`, the process whose
    `KERASTUNER_TUNER_ID` contains "chief" hands out trials and all others run them.

    Args:
        oracle: Where trials come from.
        run: Runs a trial.
        directory: Scratch folder.
        chief_timeout: Seconds without a chief after which a worker ends with an error.
            Defaults to 300.
    """

    def __init__(
        self, oracle: StudyOracle, run: RunTrial, directory: str, chief_timeout: float = 300.0
    ) -> None:
        self._run = run
        self._chief_timeout = chief_timeout
        self._diverged = False
        self._idle = False
        self._beat = oracle.silence / 6
        super().__init__(oracle=oracle, directory=directory, project_name="search", overwrite=True)

    def pre_create_trial(self) -> None:
        if is_worker():
            self._wait_for_chief()
        if self._idle:
            time.sleep(0.2)
        self._idle = True

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        self._idle = False
        values = trial.hyperparameters.values
        try:
            with self._signs_of_life():
                rho = rounded(values["rho"])
                score = self._run(values["network"], rho, values.get("tuner/epochs"))
        except Exception as error:
            # KerasTuner would note a failed trial and go on; only divergence is a result.
            raise TrialError(error) from error
        if is_worker():
            self._wait_for_chief()
        self._diverged = score is None
        return {self.oracle.objective.name: float("nan") if score is None else score}

    def on_trial_end(self, trial: Trial) -> None:
        if self._diverged:
            trial.status = "FAILED"  # Not "INVALID", which would be tried again.
        super().on_trial_end(trial)

    def save(self) -> None:
        """Nothing is saved: the records are."""

    @contextlib.contextmanager
    def _signs_of_life(self) -> Iterator[None]:
        """Lets the chief know, while a trial runs, that somebody is at it."""
        if not is_worker():
            yield
            return
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self._beat):
                with contextlib.suppress(Exception):  # A chief that is away may come back.
                    self.oracle.create_trial(self.tuner_id)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()

    def _wait_for_chief(self) -> None:
        """Returns once the chief can be reached; KerasTuner itself would wait for an hour."""
        host, port = address()
        deadline = time.monotonic() + self._chief_timeout
        while True:
            try:
                socket.create_connection((host, port), timeout=5).close()
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise FatalRuntimeError(
                        f"No chief at {host}:{port} for {self._chief_timeout:g} s. "
                        "What was trained is in the records."
                    ) from error
            time.sleep(0.2)
