"""Runs trained together get the records that they get alone, after a crash too."""

import dataclasses

import pytest

from keras_sam import Population
from recipes.running.config import RunConfig
from recipes.running.recipe import find
from recipes.running.records import read_records
from recipes.running.runtime import Runtime
from recipes.running.together import Together
from recipes.running.trainer import Trainer

QUIET = Runtime(progress=False)
BASE = RunConfig(recipe="digits", width=0.1, epochs=4, take=300, batch_size=64, label_noise=0.2)
# The last one diverges.
CONFIGS = [BASE.replace(rho=rho, seed=seed) for seed in (0, 1) for rho in (0.0, 0.1, 1e38)]


class StoppedError(Exception):
    pass


def together(configs, folder, runtime=QUIET):
    return Together(Trainer(runtime)).train(configs, folder, folder / "records.jsonl")


def comparable(records):
    """As text, in which NaN is NaN."""
    return [dataclasses.replace(record, seconds=0.0).to_json() for record in records]


@pytest.mark.parametrize(
    "changes",
    [
        {"sparsity": 0.5, "pruner": "snip", "patience": 1, "label_smoothing": 0.1},
        pytest.param({"method": "gsam", "adaptive": True}, marks=pytest.mark.slow),
    ],
    ids=["sparse, patient, smoothed", "gsam"],
)
def test_records_are_those_of_single_runs(tmp_path, changes):
    configs = [config.replace(**changes) for config in CONFIGS]
    found = together(configs, tmp_path / "together")
    assert comparable(read_records(tmp_path / "together")) == comparable(found)
    trainer = Trainer(QUIET)
    lengths = set()
    for config, ours in zip(configs, found, strict=True):
        alone = trainer.train(config, tmp_path / "alone" / config.name(BASE))
        assert (ours.config, ours.status) == (alone.config, alone.status)
        assert ours.kept_parameters == alone.kept_parameters
        assert ours.environment == {**alone.environment, "population": 6}
        assert ours.curves.keys() == alone.curves.keys()
        for name, curve in alone.curves.items():
            assert ours.curves[name] == pytest.approx(curve, rel=1e-3, abs=1e-4, nan_ok=True)
        assert dict(ours.train) == pytest.approx(dict(alone.train), rel=1e-3, abs=1e-4)
        lengths.add(len(ours.curves["loss"]))
    assert {record.status for record in found} == {"finished", "diverged"}
    assert len(lengths) > 1  # Some ended before others.


def test_a_stopped_population_goes_on_where_it_was(tmp_path, monkeypatch):
    configs = CONFIGS[:3]
    whole = together(configs, tmp_path / "whole")
    original, calls = Population.train_epoch, []

    def train_epoch(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise StoppedError
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Population, "train_epoch", train_epoch)
    folder = tmp_path / "stopped"
    with pytest.raises(StoppedError):
        together(configs, folder)
    assert read_records(folder) == []
    # With another order and one run less: what the checkpoint holds goes on together.
    resumed = together(configs[:0:-1], folder)
    assert len(calls) == 3 + 2
    assert comparable(resumed) == comparable(whole)
    assert [path.name for path in folder.iterdir()] == ["records.jsonl"]
    assert together(configs, folder) == []  # All is there.


@pytest.mark.parametrize(
    ("changes", "runtime"),
    [
        ({"every": 2}, {}),
        ({"late": 0.5}, {}),
        ({"mixed_precision": "bfloat16"}, {}),
        ({}, {"save_model": True}),
        ({}, {"tensorboard": True}),
        ({}, {"jit": True}),
    ],
)
def test_what_is_not_for_a_population(changes, runtime):
    configs = [BASE.replace(rho=rho, **changes) for rho in (0.0, 0.1)]
    trainer = Together(Trainer(dataclasses.replace(QUIET, **runtime)))
    assert not trainer.can_train(configs)


def test_what_is_for_a_population():
    trainer = Together(Trainer(QUIET))
    assert trainer.can_train(CONFIGS)
    assert not trainer.can_train(CONFIGS[:1])
    assert not trainer.can_train([])
    assert not trainer.can_train([CONFIGS[0], CONFIGS[1].replace(width=0.2)])
    images = find("cifar10_resnet18").config(width=4, take=300)
    assert not trainer.can_train([images, images.replace(rho=0.1)])  # Convolutions on a CPU.
