"""The search loop: errors, divergence, and a chief with workers of which one is killed."""

import math
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from keras_tuner.errors import FatalRuntimeError

from tuning.search import search
from tuning.space import Space


def test_a_trial_that_diverges_is_passed_over_and_the_search_goes_on():
    trials = []

    def run(network, rho, epochs):
        trials.append(rho)
        return None if rho in (0.0, 0.1, 0.2, 0.3) else rho

    search(("a",), Space(rhos=(0.1, 0.2, 0.3, 0.4)), run, epochs=1)
    assert trials == [0.0, 0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize("strategy", ["random", "bayesian", "hyperband"])
def test_every_strategy_survives_divergence(strategy):
    trials = []

    def run(network, rho, epochs):
        trials.append(rho)
        return None if rho > 0.1 else rho

    search(("a",), Space(strategy, rhos=(0.01, 1.0), trials=6), run, epochs=4)
    assert any(rho > 0.1 for rho in trials)
    assert len(trials) >= 7


def test_an_error_ends_the_search():
    def run(network, rho, epochs):
        raise KeyError("no such layer")

    with pytest.raises(FatalRuntimeError, match="no such layer"):
        search(("a",), Space(rhos=(0.1,)), run, epochs=1)


def test_nothing_is_left_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    search(("a",), Space(rhos=(0.1,)), lambda *_: 0.5, epochs=1)
    assert list(tmp_path.iterdir()) == []


def lines(file):
    return [line.split() for line in file.read_text().split("\n") if line] if file.exists() else []


def wait_for(condition, seconds=90.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_chief_and_two_workers_of_which_one_is_killed(tmp_path):
    file = tmp_path / "trials.txt"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": str(port),
    }
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-m", "tests.tuning.search_process", str(file), "1.0"],
            env={**environment, "KERASTUNER_TUNER_ID": name},
        )
        for name in ("chief", "one", "two")
    }
    try:
        # Both are at work, and one is killed in the middle of a trial.
        wait_for(lambda: {line[1] for line in lines(file)} >= {"one", "two"})
        wait_for(lambda: [line[0] for line in lines(file) if line[1] == "one"][-1] == "begin")
        processes["one"].send_signal(signal.SIGKILL)
        killed_at = [line[2:] for line in lines(file) if line[1] == "one"][-1]
        for name in ("two", "chief"):
            assert processes[name].wait(timeout=90) == 0
    finally:
        for process in processes.values():
            process.kill()

    ended = [tuple(line[2:]) for line in lines(file) if line[0] == "end"]
    every = [(name, str(rho)) for name in "ab" for rho in (0.0, 0.1, 0.2, 0.3)]
    assert sorted(set(ended)) == every
    begun = [tuple(line[2:]) for line in lines(file) if line[0] == "begin"]
    assert begun.count(tuple(killed_at)) == 2 or tuple(killed_at) in ended
    assert len(begun) <= len(every) + 1  # Only the killed worker's trial began twice.
    assert {line[1] for line in lines(file) if line[0] == "bye"} == {"two", "chief"}


def test_a_worker_without_a_chief_ends(monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "one")
    with pytest.raises(FatalRuntimeError, match="No chief at 127.0.0.1"):
        search(("a",), Space(rhos=(0.1,)), lambda *_: math.nan, epochs=1, chief_timeout=0.5)
