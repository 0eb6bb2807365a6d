"""The benchmark's own arithmetic, and one short run of it as a user starts it."""

import dataclasses
import io
import json

import pytest
from rich.console import Console

from tests.benchmarks import method_arguments, step_time
from tests.benchmarks.measurement import Measurement, measure
from tests.benchmarks.variant import Variant
from tests.benchmarks.worker_process import WorkerError, WorkerProcess
from tests.python_process import output

SAM = Variant("keras_sam", "tensorflow", "resnet18", 16, 128, 0.05)


def render(measurements, *arguments):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(step_time.table(measurements, step_time.parse(arguments)))
    return console.export_text()


def test_a_step_is_divided_by_plain_sgd_and_a_masked_one_by_sgd_with_the_same_masks():
    masked = dataclasses.replace(SAM, sparsity=0.9)
    assert SAM.sgd == dataclasses.replace(SAM, rho=None)
    assert masked.sgd == dataclasses.replace(masked, rho=0.0)
    assert masked.sgd.sgd == masked.sgd
    assert masked.dense == SAM


def test_variants_are_each_backend_and_peer_with_sgd_before_sam():
    arguments = step_time.parse(["--backends", "jax", "torch", "--masked", "--peers"])
    names = [(v.backend, v.step_name) for v in step_time.variants("mlp", 0, 64, arguments)]
    ours = [
        "Keras SGD",
        "keras_sam rho=0",
        "keras_sam SAM",
        "keras_sam rho=0, 90% masked",
        "keras_sam SAM, 90% masked",
    ]
    assert names == [
        *(("jax", name) for name in ours),
        *(("torch", name) for name in ours),
        ("torch", "PyTorch SGD"),
        ("torch", "pytorch_optimizer SAM"),
        ("jax", "optax SGD"),
        ("jax", "optax SAM"),
        ("tensorflow", "tf-keras SGD"),
        ("tensorflow", "tf-keras SAM"),
    ]


def test_tensorflow_is_timed_without_onednn_too():
    arguments = step_time.parse(["--backends", "tensorflow", "jax", "--without-onednn"])
    timed = step_time.variants("mlp", 0, 64, arguments)
    names = ["Keras SGD", "keras_sam rho=0", "keras_sam SAM"]
    off = [f"{name}, no oneDNN" for name in names]
    assert [v.step_name for v in timed] == [*names, *names, *off]
    assert {v.backend for v in timed[6:]} == {"tensorflow"}
    assert timed[8].sgd == timed[6] != timed[0]


def test_methods_are_timed_against_the_same_sgd_in_turns_of_whole_periods():
    arguments = step_time.parse(["--methods", "--steps", "5"])
    timed = step_time.variants("resnet18", 16, 128, arguments)
    assert [v.step_name for v in timed[3:]] == [f"keras_sam {n}" for n in method_arguments.NAMES]
    assert {v.sgd for v in timed} == {SAM.sgd}
    assert len(step_time.variants("mlp", 0, 128, arguments)) == len(timed) - 1  # No SAM-ON.
    for name in method_arguments.NAMES:
        given = method_arguments.arguments(name, 0.05)
        assert step_time.PERIOD % getattr(given["rho"], "k", 1) == 0


def test_the_table_divides_minimum_by_minimum_and_median_by_median():
    sgd = Measurement(SAM.sgd, step_seconds=[0.2, 0.1, 0.4], built_memory=100, peak_memory=150)
    sam = Measurement(SAM, step_seconds=[0.25, 0.9, 0.6], built_memory=100, peak_memory=180)
    row = next(line for line in render([sgd, sam]).splitlines() if "keras_sam SAM" in line)
    # 250 / 100 by minimum, 600 / 200 by median, 180 / 150 of memory, 80 MiB since it was built.
    assert row.strip("│ ").replace("│", "").split()[-8:] == [
        *("SAM", "250.00", "2.50x", "600.00", "3.00x", "180", "1.20x", "80")
    ]


def test_a_step_that_failed_is_in_the_table_and_divides_nothing():
    sgd = Measurement(SAM.sgd, failure="no such backend")
    sam = Measurement(SAM, step_seconds=[0.25], built_memory=100, peak_memory=180)
    text = render([sgd, sam])
    assert "not timed" in text
    assert "250.00" in text
    assert "x" not in text.partition("keras_sam SAM")[2]


def test_what_is_not_installed_is_skipped():
    (measurement,) = measure([dataclasses.replace(SAM, backend="no_such_framework")], 1, 1)
    assert measurement.failure == "skipped: no_such_framework is not installed"


@pytest.mark.parametrize("argument", ["--rounds", "--steps", "--filters", "--batch-size"])
def test_counts_below_one_are_refused(argument, capsys):
    with pytest.raises(SystemExit):
        step_time.parse([argument, "0"])
    assert "must be an integer >= 1. Received: 0" in capsys.readouterr().err


@pytest.mark.slow
def test_a_worker_says_why_it_cannot_be_built():
    pytest.importorskip("optax")
    variant = Variant("optax", "jax", "mlp", 0, 8, 0.05, precision="float16")
    with pytest.raises(WorkerError, match="NotImplementedError: optax has no loss scaling"):
        WorkerProcess(variant)


@pytest.mark.slow
def test_networks_that_are_not_equal_are_not_compared():
    narrow = Variant("keras_sam", "tensorflow", "resnet18", 2, 4, None)
    wide = Variant("keras_sam", "tensorflow", "resnet18", 3, 4, 0.0)
    with pytest.raises(RuntimeError, match="not equal"):
        measure([narrow, wide], 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("package", step_time.PEERS)
@pytest.mark.parametrize(("network", "parameters"), [("mlp", 266_610), ("resnet18", 701_466)])
def test_peers_train_the_networks_of_the_paper(package, network, parameters):
    pytest.importorskip(package)
    variant = Variant(package, step_time.PEERS[package], network, 16, 4, 0.05)
    with WorkerProcess(variant) as worker:
        assert worker.description["parameters"] == parameters
        assert worker.ask("steps", 2)["seconds"] > 0


@pytest.mark.slow
def test_the_command_prints_the_table_and_writes_every_round(tmp_path):
    path = tmp_path / "result.json"
    flags = ["--rounds", 1, "--steps", 1, "--masked", "--fit", "--json", path]
    printed = output("-m", "tests.benchmarks.step_time", "--networks", "mlp", *flags, timeout=250)
    measurements = json.loads(path.read_text())["measurements"]
    assert len(measurements) == 5
    for measurement in measurements:
        assert measurement["failure"] is None
        assert measurement["parameters"] == 266_610
        assert len(measurement["step_seconds"]) == len(measurement["fit_seconds"]) == 1
        assert measurement["step_seconds"][0] > 0
        assert measurement["peak_memory"] > measurement["built_memory"] > 0
        assert f"{1000 * measurement['step_seconds'][0]:.2f}" in printed
