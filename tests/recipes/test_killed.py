"""Workloads beyond vision, killed by the system and started again, as commands."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from recipes.datasets.folder import VARIABLE
from tests.recipes.prepared import write_brown, write_molecules

# Three processes each.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

FLAGS = {
    "tagging_transformer": "--width 8 --depth 1 --heads 2 --warmup-steps 2 --take 160",
    "molecules_gcn": "--width 4 --take 160",
    "sst2_lstm": "--width 2 --take 320 --vocabulary 500",
    "minatar_ppo": "--width 0.1 --games 4 --steps 8 --evaluation-games 2 --evaluate-every 5",
    "atari_ppo": "--width 0.05 --games 2 --steps 8 --evaluation-games 2 --evaluate-every 20",
}
NEEDS = {"minatar_ppo": "gymnax", "atari_ppo": "ale_py"}


def lacks(name):
    """Whether the machine lacks what the workload needs."""
    if name == "sst2_lstm":
        return not os.path.isdir(os.path.join(os.environ.get("TFDS_DATA_DIR", ""), "glue", "sst2"))
    return name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None


@pytest.mark.parametrize("name", FLAGS)
def test_a_killed_command_goes_on(name, tmp_path):
    if lacks(name):
        pytest.skip(f"{name} needs data or a package that is not here")
    write_brown(tmp_path / "data", sentences=(150, 20, 40))
    write_molecules(tmp_path / "data")
    environment = {**os.environ, VARIABLE: str(tmp_path / "data")}
    command = [
        *(sys.executable, "-m", f"recipes.{name}", *FLAGS[name].split(), "--rho", "0.05"),
        *("--epochs", "20", "--batch-size", "16", "--no-progress"),
    ]

    def start(folder):
        output = ["--output", str(tmp_path / folder)]
        return subprocess.Popen([*command, *output], env=environment, stdout=subprocess.DEVNULL)

    def record(folder):
        (line,) = (tmp_path / folder / name / "records.jsonl").read_text().splitlines()
        return {key: value for key, value in json.loads(line).items() if key != "seconds"}

    killed = start("killed")
    while not list((tmp_path / "killed").rglob("checkpoint.npz")):
        assert killed.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    assert not list((tmp_path / "killed").rglob("records.jsonl"))
    for folder in ("killed", "whole"):
        assert start(folder).wait() == 0
    assert record("killed") == record("whole")
    assert not list(tmp_path.rglob("checkpoint.npz"))
