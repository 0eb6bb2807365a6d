"""Flags are made from the settings; recipes are those of the paper."""

import argparse
import subprocess
import sys

import pytest

from recipes.running import recipe as recipes
from recipes.running.command_line import (
    add_config_flags,
    add_runtime_flags,
    main,
    parsed_config,
    parsed_runtime,
)
from recipes.running.records import read_records


def parse(name, *arguments):
    recipe = recipes.find(name)
    parser = argparse.ArgumentParser()
    add_config_flags(parser, recipe)
    add_runtime_flags(parser)
    parsed = parser.parse_args(arguments)
    return parsed_config(parsed, recipe), parsed_runtime(parsed)


@pytest.mark.parametrize("name", recipes.names())
def test_without_flags_a_recipe_runs_its_default(name):
    config, runtime = parse(name)
    assert config == recipes.find(name).default
    assert runtime.jit is None
    assert runtime.progress


@pytest.mark.parametrize("name", recipes.names())
def test_quick_is_smaller_and_flags_come_after_it(name):
    quick, _ = parse(name, "--quick")
    assert quick.epochs < recipes.find(name).default.epochs
    assert quick.schedule == recipes.find(name).default.schedule
    assert parse(name, "--quick", "--epochs", "77")[0] == quick.replace(epochs=77)


def test_flags_of_every_kind():
    config, runtime = parse(
        "cifar10_vit",
        *("--width", "24", "--rho", "0.05", "--adaptive", "--no-normalize", "--patch", "8"),
        *("--num-batch-splits", "2", "--patience", "none", "--milestones", "0.5", "0.9"),
        *("--mixed-precision", "bfloat16", "--jit", "--steps-per-execution", "3"),
        *("--devices", "GPU:0", "GPU:1", "--no-progress", "--tensorboard", "--csv"),
    )
    default = recipes.find("cifar10_vit").default
    assert config == default.replace(
        width=24,
        rho=0.05,
        adaptive=True,
        normalize=False,
        num_batch_splits=2,
        milestones=(0.5, 0.9),
        mixed_precision="bfloat16",
        options={**default.options, "patch": 8},
    )
    assert (runtime.jit, runtime.steps_per_execution) == (True, 3)
    assert runtime.devices == ("GPU:0", "GPU:1")
    assert (runtime.progress, runtime.tensorboard, runtime.csv) == (False, True, True)


def test_the_papers_settings():
    mnist = recipes.find("mnist").default
    assert (mnist.learning_rate, mnist.momentum, mnist.weight_decay) == (0.1, 0.9, 1e-4)
    assert (mnist.epochs, mnist.batch_size, mnist.milestones) == (100, 128, (0.25, 0.5, 0.75))
    resnet18 = recipes.find("cifar10_resnet18").default
    assert (resnet18.epochs, resnet18.weight_decay) == (200, 5e-4)
    assert (resnet18.schedule, resnet18.milestones) == ("step", (0.5, 0.75))
    assert recipes.find("cifar10_vit").default.schedule == "cosine"
    resnet50 = recipes.find("imagenet_resnet50").default
    assert (resnet50.learning_rate, resnet50.batch_size, resnet50.epochs) == (0.2, 512, 90)
    assert (resnet50.warmup_steps, resnet50.weight_decay) == (5000, 1e-4)


def test_a_recipe_from_the_command_line(tmp_path, capsys):
    flags = ["--width", "0.1", "--rho", "0.1", "--epochs", "2", "--no-progress"]
    main(recipes.find("digits"), "text", [*flags, "--output", str(tmp_path)])

    (record,) = read_records(tmp_path)
    assert (record.config.width, record.config.rho, record.config.epochs) == (0.1, 0.1, 2)
    assert (tmp_path / "digits" / "records.jsonl").exists()
    output = capsys.readouterr().out
    assert f"test accuracy {record.selected['test_accuracy']:.4f}" in output
    assert "SAM, rho 0.1, seed 0: 2 epochs" in output


def test_a_bad_setting_ends_with_its_message(capsys):
    with pytest.raises(SystemExit):
        main(recipes.find("digits"), "text", ["--rho", "-1"])
    assert "`rho` must be >= 0. Received: `rho=-1.0`" in capsys.readouterr().err


def test_unknown_recipe():
    with pytest.raises(ValueError, match="Received: `name='svhn'`"):
        recipes.find("svhn")


@pytest.mark.parametrize("module", ["recipes.digits", "recipes.figures", "tuning.rho_search"])
def test_help_needs_no_keras(module):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['x', '--help']\n"
        f"try:\n    runpy.run_module('{module}', run_name='__main__')\n"
        "except SystemExit:\n    assert 'keras' not in sys.modules\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert "usage:" in result.stdout
