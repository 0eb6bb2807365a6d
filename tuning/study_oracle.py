"""Many oracles behind one door: one search over several networks, one chief for all workers."""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial


@dataclasses.dataclass
class _Ongoing:
    """A trial that a worker is at: as the worker knows it, and as its oracle does."""

    trial: Trial
    oracle: keras_tuner.Oracle
    own: Trial


class StudyOracle(keras_tuner.Oracle):
    """Asks oracles in turn for trials, and takes trials back from workers that have died.

    The first oracle that has a trial gives it. A worker calls `create_trial` again and again while
    it is at a trial (which hands it the same one); if it falls silent, its trial goes to another.
    What a worker reports of a trial that is no longer its own is let pass.

    Nothing here outlives the process, and nothing has to: a trial that ended before is asked for
    again after a restart, and answered from the records at once.

    Args:
        oracles: Whom to ask, in this order, but first those whose network nobody is at. Their
            directories are scratch.
        objective: The objective that they share.
        silence: Seconds after which a silent worker counts as dead. Defaults to 60.
    """

    def __init__(
        self,
        oracles: Iterable[keras_tuner.Oracle],
        objective: keras_tuner.Objective,
        silence: float = 60.0,
    ) -> None:
        super().__init__(objective=objective)
        self.silence = silence
        self.finished = threading.Event()
        self._asked = list(oracles)
        for oracle in self._asked:
            oracle.verbose = 0
        self._ongoing: dict[str, _Ongoing] = {}
        self._seen: dict[str, float] = {}
        self._lock = threading.RLock()

    def create_trial(self, tuner_id: str) -> Trial:
        with self._lock:
            self._seen[tuner_id] = time.monotonic()
            self.tuner_ids.add(tuner_id)
            self._take_back()
            if tuner_id in self._ongoing:
                return self._ongoing[tuner_id].trial
            # While others are at work, a trial may yet come back, or Hyperband may go on.
            status = "IDLE" if self._ongoing else "STOPPED"
            for oracle in self._by_busyness():
                own = oracle.create_trial(tuner_id)
                if own.status == "RUNNING":
                    # A name that no other handing out has, be it of the same trial or by a chief
                    # that has died: so a late report is known for what it is.
                    name = uuid.uuid4().hex
                    trial = Trial(own.hyperparameters.copy(), trial_id=name, status="RUNNING")
                    self._ongoing[tuner_id] = _Ongoing(trial, oracle, own)
                    return trial
            if status == "STOPPED":
                self.tuner_ids.discard(tuner_id)
                self.finished.set()
            return Trial(keras_tuner.HyperParameters(), trial_id="none", status=status)

    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Trial:
        with self._lock:
            ongoing = self._find(trial_id)
            if ongoing is None:
                return self._unknown(trial_id)
            ongoing.oracle.update_trial(ongoing.own.trial_id, metrics, step)
            return ongoing.trial

    def end_trial(self, trial: Trial) -> None:
        with self._lock:
            ongoing = self._find(trial.trial_id)
            if ongoing is not None:
                self._end(ongoing, trial.status, trial.message)

    def get_trial(self, trial_id: str) -> Trial:
        with self._lock:
            ongoing = self._find(trial_id)
            return self._unknown(trial_id) if ongoing is None else ongoing.trial

    def forget(self, tuner_id: str) -> None:
        """Takes the trial of a worker back, which is known to have died."""
        with self._lock:
            self.tuner_ids.discard(tuner_id)
            self._seen.pop(tuner_id, None)
            ongoing = self._ongoing.get(tuner_id)
            if ongoing is not None:
                self._end(ongoing, "INVALID", "its worker died")

    def save(self) -> None:
        """Nothing is saved: the records are."""

    def _by_busyness(self) -> list[keras_tuner.Oracle]:
        """Whom to ask: first those whose network nobody is at, who may train all of it at once."""
        busy = {
            ongoing.trial.hyperparameters.values.get("network")
            for ongoing in self._ongoing.values()
        }

        def is_busy(oracle: keras_tuner.Oracle) -> bool:
            return oracle.hyperparameters.values.get("network") in busy

        return sorted(self._asked, key=is_busy)

    def _take_back(self) -> None:
        now = time.monotonic()
        for tuner_id, seen in list(self._seen.items()):
            if now - seen > self.silence:
                self.forget(tuner_id)

    def _end(self, ongoing: _Ongoing, status: str, message: str | None) -> None:
        self._ongoing = {t: other for t, other in self._ongoing.items() if other is not ongoing}
        ongoing.own.status = status
        ongoing.own.message = message
        ongoing.oracle.end_trial(ongoing.own)

    def _find(self, trial_id: str) -> _Ongoing | None:
        return next((o for o in self._ongoing.values() if o.trial.trial_id == trial_id), None)

    def _unknown(self, trial_id: str) -> Trial:
        return Trial(keras_tuner.HyperParameters(), trial_id=trial_id, status="RUNNING")

    def _set_project_dir(self, directory: Any, project_name: Any) -> None:
        super()._set_project_dir(directory, project_name)
        for index, oracle in enumerate(self._asked):
            oracle._set_project_dir(directory, f"{project_name}/{index}")
