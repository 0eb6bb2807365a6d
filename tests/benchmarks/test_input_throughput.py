"""The verdict on input, and one short run on the prepared data."""

import os

import pytest

from tests.benchmarks import input_throughput

ARGUMENTS = ["--rounds", "3", "--steps", "1", "--batches", "2", "--filters", "2"]


@pytest.mark.parametrize(
    ("input_seconds", "verdict"),
    [([0.09, 0.09, 9.0], 0), ([0.11, 0.11, 0.001], 1)],  # A step takes 0.3 seconds.
)
def test_input_must_be_three_times_as_fast_by_the_median(
    input_seconds, verdict, monkeypatch, capsys
):
    monkeypatch.setattr(input_throughput, "measure", lambda args: (input_seconds, [0.3, 0.3, 0.3]))
    assert input_throughput.main([]) == verdict
    # 128 examples in 0.3 seconds.
    assert capsys.readouterr().out.count(" 427 ") == 3


@pytest.mark.slow
def test_the_command_times_both(capsys):
    folder = os.environ.get("TFDS_DATA_DIR", "")
    if not os.path.isdir(os.path.join(folder, "cifar10")):
        pytest.skip(f"CIFAR-10 is not prepared in TFDS_DATA_DIR={folder!r}")
    input_seconds, step_seconds = input_throughput.measure(input_throughput.parse(ARGUMENTS))
    assert len(input_seconds) == len(step_seconds) == 3
    assert min(input_seconds + step_seconds) > 0


@pytest.mark.slow
def test_data_that_are_not_there_are_no_verdict(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert input_throughput.main(ARGUMENTS) == 2
    assert "The dataset cifar10 is not prepared" in capsys.readouterr().out
