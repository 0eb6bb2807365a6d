"""The search loop: errors, divergence, and a chief with workers of which one is killed."""

import math
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
from keras_tuner.errors import FatalRuntimeError

from tuning.search import search
from tuning.space import Space
from tuning.trial_runner import TrialRunner


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

    with pytest.raises(KeyError, match="no such layer"):
        search(("a",), Space(rhos=(0.1,)), run, epochs=1)


def test_nothing_is_left_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    search(("a",), Space(rhos=(0.1,)), lambda *_: 0.5, epochs=1)
    assert list(tmp_path.iterdir()) == []


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def lines(file):
    return [line.split() for line in file.read_text().split("\n") if line] if file.exists() else []


def wait_for(condition, seconds=90.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def start(tmp_path):
    """Starts processes of one search by their names, and ends what is left of them."""
    place = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(free_port())}
    started = []

    def start(*names, seconds=0.5, silence=3.0):
        arguments = [str(tmp_path / "trials"), str(seconds), str(silence)]
        processes = {
            name: subprocess.Popen(
                [sys.executable, "-m", "tests.tuning.search_process", *arguments],
                env={**os.environ, **place, "KERASTUNER_TUNER_ID": name},
            )
            for name in names
        }
        started.extend(processes.values())
        return processes

    yield start
    for process in started:
        process.kill()
        process.wait()


EVERY = [(name, str(rho)) for name in "ab" for rho in (0.0, 0.1, 0.2, 0.3)]


def test_a_chief_and_two_workers_of_which_one_is_killed(tmp_path, start):
    file = tmp_path / "trials"
    processes = start("chief", "one", "two")
    # Both are at work, and one is killed in the middle of a trial.
    wait_for(lambda: {line[1] for line in lines(file)} >= {"one", "two"})
    wait_for(lambda: [line[0] for line in lines(file) if line[1] == "one"][-1] == "begin")
    processes["one"].send_signal(signal.SIGKILL)
    killed_at = [tuple(line[2:]) for line in lines(file) if line[1] == "one"][-1]
    for name in ("two", "chief"):
        assert processes[name].wait(timeout=90) == 0

    ended = [tuple(line[2:]) for line in lines(file) if line[0] == "end"]
    begun = [tuple(line[2:]) for line in lines(file) if line[0] == "begin"]
    assert sorted(set(ended)) == EVERY
    assert begun.count(killed_at) == 2 or killed_at in ended
    assert len(begun) <= len(EVERY) + 1  # Only the killed worker's trial began twice.
    assert {line[1] for line in lines(file) if line[0] == "bye"} == {"two", "chief"}


@pytest.mark.slow
def test_a_chief_that_is_killed_and_started_again(tmp_path, start):
    file = tmp_path / "trials"
    processes = start("chief", "one")
    wait_for(lambda: len(lines(file)) >= 3)
    processes["chief"].send_signal(signal.SIGKILL)
    again = start("chief")
    # The new chief knows nothing of the old one's trials: it hands out all of them, and lets the
    # report pass that the worker may make of the one that it was at.
    assert processes["one"].wait(timeout=90) == 0
    assert again["chief"].wait(timeout=90) == 0
    ended = [tuple(line[2:]) for line in lines(file) if line[0] == "end"]
    assert sorted(ended[-len(EVERY) :]) == EVERY


@pytest.mark.slow
def test_a_long_trial_is_not_taken_from_a_worker_that_lives(tmp_path, start):
    processes = start("chief", "one", "two", seconds=4.0, silence=2.0)
    assert [processes[name].wait(timeout=120) for name in processes] == [0, 0, 0]
    begun = [tuple(line[2:]) for line in lines(tmp_path / "trials") if line[0] == "begin"]
    assert sorted(begun) == EVERY


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    flags = ["digits", "--epochs", "500", "--output", str(tmp_path), "--workers", "1"]
    parent = subprocess.Popen([sys.executable, "-m", "tuning.rho_search", *flags])
    try:
        wait_for(lambda: (tmp_path / "study.json").exists())
        children = f"/proc/{parent.pid}/task/{parent.pid}/children"
        wait_for(lambda: pathlib.Path(children).read_text().strip())
        child = int(pathlib.Path(children).read_text().split()[0])
        # At work: it has a folder of runs.
        wait_for(lambda: list(tmp_path.glob("population-*")))
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: not pathlib.Path(f"/proc/{child}").exists(), seconds=20)


def test_a_worker_without_a_chief_ends(monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(free_port()))
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "one")
    with pytest.raises(FatalRuntimeError, match="No chief at 127.0.0.1"):
        search(("a",), Space(rhos=(0.1,)), lambda *_: math.nan, epochs=1, chief_timeout=0.5)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"IP": "127.0.0.1", "PORT": "abc"}, "ORACLE_PORT must be a port.*PORT=abc"),
        ({"IP": "127.0.0.1", "PORT": "70000"}, "ORACLE_PORT must be a port.*PORT=70000"),
        ({"IP": "127.0.0.1"}, "ORACLE_PORT must be set"),
        ({"PORT": "8000"}, "must be set together"),
        ({"IP": "no such host", "PORT": "8000"}, "must be an address or a known host"),
        ({"IP": "192.0.2.1", "PORT": "8000"}, "The chief cannot have the address"),
        ({"IP": "127.0.0.1", "PORT": "8000", "ID": "../chief"}, "must be made of letters"),
        ({"IP": "127.0.0.1", "PORT": "8000", "ID": ""}, "TUNER_ID must be set"),
    ],
)
def test_whatever_is_wrong_with_an_address_is_told_at_once(monkeypatch, variables, message):
    names = {"IP": "ORACLE_IP", "PORT": "ORACLE_PORT", "ID": "TUNER_ID"}
    for key, value in {"ID": "chief", **variables}.items():
        monkeypatch.setenv(f"KERASTUNER_{names[key]}", value)
    with pytest.raises(ValueError, match=message):
        search(("a",), Space(rhos=(0.1,)), lambda *_: 0.5, epochs=1)


def test_a_chief_whose_port_is_in_use_says_so(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
        monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(taken.getsockname()[1]))
        monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
        with pytest.raises(ValueError, match="free"):
            search(("a",), Space(rhos=(0.1,)), lambda *_: 0.5, epochs=1)


def test_a_chief_that_dies_ends_the_search(monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(free_port()))
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    monkeypatch.setattr(TrialRunner, "search", lambda self: 1 / 0)
    with pytest.raises(RuntimeError, match="The chief ended before.*division by zero"):
        search(("a",), Space(rhos=(0.1,)), lambda *_: 0.5, epochs=1)


@pytest.mark.parametrize("name", ["silence", "chief_timeout"])
@pytest.mark.parametrize("value", [math.nan, 0.0, -1.0, math.inf])
def test_times_are_positive(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be positive"):
        search(("a",), Space(rhos=(0.1,)), lambda *_: 0.5, epochs=1, **{name: value})


def test_a_scratch_folder_that_a_kill_left_is_removed(tmp_path):
    scratch = tmp_path / ".search"
    (scratch / "old").mkdir(parents=True)
    search(("a",), Space(rhos=(0.1,)), lambda *_: 0.5, epochs=1, scratch=scratch)
    assert list(tmp_path.iterdir()) == []
