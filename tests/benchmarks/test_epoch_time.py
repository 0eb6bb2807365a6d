"""The verdict on an epoch's time, and one short run on the prepared data."""

import pytest

from tests.benchmarks import epoch_time
from tests.recipes.test_datasets import needs_cifar10

ARGUMENTS = ["--rounds", "1", "--filters", "1", "--batch-size", "4"]


@pytest.mark.parametrize(
    ("epoch_seconds", "verdict"),
    [([0.102, 0.2, 9.0], 0), ([0.104, 0.104, 0.104], 1)],  # A bare step takes 0.1 seconds.
)
def test_an_epoch_must_take_little_more_than_its_steps(epoch_seconds, verdict, monkeypatch, capsys):
    monkeypatch.setattr(epoch_time, "measure", lambda args: (epoch_seconds, [0.1, 0.1, 0.3]))
    assert epoch_time.main([]) == verdict
    assert f"takes {epoch_seconds[0] / 0.1:.3f} times" in capsys.readouterr().out


@pytest.mark.slow
@needs_cifar10
def test_the_command_times_both():
    epoch_seconds, step_seconds = epoch_time.measure(epoch_time.parse(ARGUMENTS))
    assert len(epoch_seconds) == len(step_seconds) == 1
    assert min(epoch_seconds + step_seconds) > 0


@pytest.mark.slow
def test_data_that_are_not_there_are_no_verdict(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("KERAS_SAM_CACHE", str(tmp_path))
    assert epoch_time.main(ARGUMENTS) == 2
    assert "The dataset cifar10 is not prepared" in capsys.readouterr().out
