"""The planned commands give every check of the page its numbers, and have flags that exist."""

import dataclasses
import math

import numpy as np
import pytest

import tuning.command_line as tuning
from recipes.paper.adding import asked, command_lines
from recipes.paper.planned import EQUAL, PLANNED
from recipes.paper.rows import ROWS
from recipes.paper.study import Study, flat
from recipes.running.command_line import parsed_config
from recipes.running.recipe import find
from tests.recipes.test_records import make_record

MEASURED = (
    *("last", "selected", "curve.last", "ratios.most", "condition", "exact", "accuracy"),
    *("centred.lambda_max", "lambda_max", "trace", "s_2", "test_accuracy", "error", "equal_error"),
    *(f"{kind}.s_{k}" for kind in ("centred", "powers") for k in (2, 3, 4)),
    *("total_variation", "kinks"),
)


def weights(width):
    first, second = round(300 * width), round(100 * width)
    return 784 * first + first * second + 10 * second, first + second + 10


def parsed(command):
    words = command.split()[3:]
    recipe = find(words[0])
    flags = tuning._parser(None, recipe).parse_args(words)
    return recipe, flags, parsed_config(flags, recipe)


def runs(command, rng):
    """What `tuning.rho_search` would record."""
    recipe, flags, base = parsed(command)
    for width in flags.widths or recipe.widths:
        for rho in (0.0, *(flags.rhos or recipe.rhos)):
            for seed in range(flags.seeds):
                name, value = recipe.metric.name, rng.random()
                metrics = {"epoch": 1, f"val_{name}": value, f"test_{name}": rng.random()}
                kept = round(1000 * width * (1 - base.sparsity))
                yield dataclasses.replace(
                    make_record(),
                    **{"config": base.replace(width=width, rho=rho, seed=seed)},
                    **{"metric": recipe.metric, "kept_parameters": kept, "train": {"loss": 1.0}},
                    **{key: {**metrics, "val_loss": 1.0} for key in ("selected", "last")},
                )


def made(planned, rng):
    """The study that its commands would make, of random numbers."""
    if planned.timings:
        variants = [
            {"setting.network": network, "setting.rho": rho, "setting.sparsity": sparsity}
            for network in ("mlp", "resnet18")
            for rho in ("plain", 0.0, 0.05)
            for sparsity in (0.0, 0.9)
        ]
        entries = [
            {**v, "setting.package": "keras_sam", "setting.method": "", "setting.seed": seed}
            | {"milliseconds": 1 + rng.random()}
            for v in variants
            for seed in range(7)
        ]
        return Study(planned.name, planned.commands, tuple(entries))
    if "tuning.rho_search" in planned.commands[0]:
        commands = [*planned.commands]
        for folder in planned.also:  # runs/paper/NAME or runs/paper/NAME/2
            _, _, name, *index = folder.split("/")
            (other,) = (one for one in PLANNED if one.name == name)
            commands += [other.commands[int(index[0])]] if index else other.commands
        records = [record for command in commands for record in runs(command, rng)]
        entries = tuple(_without_curves(record) for record in records)
        return Study(planned.name, tuple(commands), entries)
    settings = dict.fromkeys(s for command in planned.commands for s in asked(command)[1])
    entries = [
        flat({"setting": dataclasses.asdict(setting)})
        | {name: 0.1 + 0.8 * rng.random() for name in MEASURED}
        for setting in settings
    ]
    return Study(planned.name, planned.commands, tuple(entries))


def _without_curves(record):
    import json

    data = json.loads(record.to_json())
    del data["curves"]
    return flat(data)


@pytest.fixture(scope="module")
def studies():
    rng = np.random.default_rng(0)
    return {planned.name: made(planned, rng) for planned in PLANNED}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.place.replace(" ", "_"))
def test_every_check_has_numbers_in_the_studies_as_planned(row, studies):
    for check, finding, _ in row.judged(studies):
        if check.study in studies:
            assert finding is not None, check.says
            assert "too few" not in finding.reason, check.says


def test_every_study_that_a_row_asks_for_is_planned():
    planned = {one.name for one in PLANNED}
    asked_for = {check.study for row in ROWS for check in row.checks}
    # The last is for those who have an accelerator.
    assert asked_for - planned == {"cifar10_resnet18_gpu"}
    assert planned <= asked_for


@pytest.mark.parametrize("planned", PLANNED, ids=lambda one: one.name)
def test_the_command_that_is_kept_asks_for_the_planned_runs(planned):
    if "tuning.rho_search" not in planned.commands[0]:
        return
    records = list(runs(planned.commands[0], np.random.default_rng(0)))
    (line,), missing = command_lines(records)
    assert missing == 0
    again = list(runs(line, np.random.default_rng(0)))
    assert [one.config for one in again] == [one.config for one in records]


def test_sparse_networks_keep_as_many_weights_as_the_dense_ones():
    kernels, biases = weights(1.0)
    for width, sparsity in EQUAL.items():
        kept = (1 - sparsity) * kernels + biases
        assert math.isclose(kept, sum(weights(width)), rel_tol=1e-2)
