"""The oracle of several networks: each trial once, and none lost with its worker."""

import keras_tuner
import pytest
from keras_tuner.engine.trial import Trial

from tuning.grid_oracle import GridOracle
from tuning.study_oracle import StudyOracle

GOAL = keras_tuner.Objective("score", direction="max")


@pytest.fixture
def oracle(tmp_path):
    def grid(name, values):
        hyperparameters = keras_tuner.HyperParameters()
        hyperparameters.Fixed("network", name)
        return GridOracle(
            "rho",
            values,
            objective=GOAL,
            hyperparameters=hyperparameters,
            max_retries_per_trial=100,
            max_consecutive_failed_trials=None,
        )

    oracle = StudyOracle([grid("a", (0.0, 0.1)), grid("b", (0.0,))], GOAL, silence=1e9)
    oracle._set_project_dir(str(tmp_path), "search")
    return oracle


def values(trial):
    return trial.hyperparameters.values["network"], trial.hyperparameters.values["rho"]


def end(oracle, trial, score=0.5, status="COMPLETED"):
    oracle.update_trial(trial.trial_id, {"score": score})
    trial.status = status
    oracle.end_trial(trial)


def test_each_point_once_in_order(oracle):
    seen = []
    while (trial := oracle.create_trial("tuner")).status == "RUNNING":
        seen.append(values(trial))
        end(oracle, trial)
    assert seen == [("a", 0.0), ("a", 0.1), ("b", 0.0)]
    assert trial.status == "STOPPED"
    assert oracle.finished.is_set()


def test_a_worker_is_given_its_trial_again_while_it_is_at_it(oracle):
    first = oracle.create_trial("one")
    assert oracle.create_trial("one") is first
    # Of another network: a process may train all that one has at once.
    assert values(oracle.create_trial("two")) == ("b", 0.0)


def test_idle_while_others_are_at_work_then_stopped(oracle):
    trials = [oracle.create_trial(name) for name in ("one", "two", "three")]
    assert oracle.create_trial("four").status == "IDLE"
    for trial in trials:
        assert not oracle.finished.is_set()
        end(oracle, trial)
    assert oracle.create_trial("four").status == "STOPPED"
    assert oracle.tuner_ids == {"one", "two", "three"}  # Who has not been told yet.
    for name in ("one", "two", "three"):
        assert oracle.create_trial(name).status == "STOPPED"
    assert not oracle.tuner_ids


def test_the_trial_of_a_silent_worker_goes_to_another(oracle, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("tuning.study_oracle.time.monotonic", lambda: clock[0])
    oracle.silence = 10.0
    lost = oracle.create_trial("silent")
    kept = oracle.create_trial("alive")
    clock[0] = 8.0
    oracle.create_trial("alive")  # A sign of life.
    clock[0] = 12.0
    end(oracle, kept)
    again = oracle.create_trial("alive")

    assert values(again) == values(lost)
    # The silent worker was only slow: its report changes nothing, and does not end the other's.
    end(oracle, lost, score=0.9)
    assert oracle.create_trial("alive") is again


def test_a_worker_known_to_be_dead_loses_its_trial_at_once(oracle):
    lost = oracle.create_trial("dead")
    oracle.forget("dead")
    assert values(oracle.create_trial("other")) == values(lost)
    assert "dead" not in oracle.tuner_ids


def test_a_trial_of_an_earlier_chief_is_let_pass(oracle):
    trial = oracle.create_trial("worker")
    earlier = Trial(trial.hyperparameters.copy(), trial_id="deadbeef", status="RUNNING")
    assert oracle.get_trial("deadbeef").metrics.exists("score") is False
    end(oracle, earlier)
    assert oracle.create_trial("worker") is trial


def test_failed_trials_are_not_tried_again(oracle):
    seen = []
    while (trial := oracle.create_trial("tuner")).status == "RUNNING":
        seen.append(values(trial))
        end(oracle, trial, score=float("nan"), status="FAILED")
    assert seen == [("a", 0.0), ("a", 0.1), ("b", 0.0)]
