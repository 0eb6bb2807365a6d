"""Result files: kept as they were, damaged ones refused, made from records and results."""

import dataclasses
import json

import pytest

from recipes.paper.adding import add, asked
from recipes.paper.sample import best_rhos, changes, exponents, gains, less, metrics, values
from recipes.paper.study import Study, flat, nested, read_studies
from recipes.paper.timings import add_timings
from recipes.reporting.comparison import comparisons
from recipes.running.records import append_record
from tests.recipes.test_comparison import diverged, record, study


@pytest.fixture
def folder(tmp_path):
    for one in study():
        append_record(tmp_path / "runs" / "records.jsonl", one)
    return tmp_path / "runs"


def test_a_study_has_what_comparisons_are_made_of(folder):
    kept = add("tiny", [folder])
    again = Study.from_json("tiny", kept.to_json())

    assert again == kept
    assert comparisons(again.records) == comparisons(study())
    assert all(one.curves == {} for one in again.records)


def test_the_command_is_that_of_the_settings(folder):
    (command,) = add("tiny", [folder]).commands
    assert command.startswith("python -m tuning.rho_search digits --widths 1 4 --rhos 0.1 0.2 ")
    assert "--seeds 2" in command
    assert "--epochs" in command  # Of the records, which are not the recipe's.


def test_the_command_says_on_which_backend_it_ran(tmp_path):
    one = record(rho=0.1)
    place = {**one.environment, "backend": "jax"}
    append_record(tmp_path / "records.jsonl", dataclasses.replace(one, environment=place))
    (command,) = add("tiny", [tmp_path]).commands
    assert command.startswith("KERAS_BACKEND=jax python -m tuning.rho_search digits ")


def test_runs_that_are_missing_are_counted(folder):
    lines = (folder / "records.jsonl").read_text().splitlines()
    (folder / "records.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    assert add("tiny", [folder]).missing == 1


def test_runs_that_diverged_are_kept_as_such(tmp_path):
    for one in [record(), diverged(rho=0.1), record(rho=0.2)]:
        append_record(tmp_path / "records.jsonl", one)
    again = Study.from_json("tiny", add("tiny", [tmp_path]).to_json())
    assert [one.status for one in again.records] == ["finished", "diverged", "finished"]
    (found,) = comparisons(again.records)
    assert found.at(0.1).diverged == 1


def test_gains_are_drawn_as_the_tables_have_them(folder):
    kept = add("tiny", [folder])
    # As in tests/recipes/test_comparison.py: 0.02 and 0.04, 0.04 and 0.06, in points.
    drawn = gains()(kept)
    assert {x: pytest.approx(ys) for x, ys in drawn.by_x.items()} == {1000: [2, 4], 4000: [4, 6]}
    assert str(drawn) == "parameters 1,000: +3.00 ± 1.00, 4,000: +5.00 ± 1.00 (2 seeds)"
    # At rho 0.2, best of both together.
    fixed = gains(rho="fixed")(kept)
    assert fixed.by_x[1000] == pytest.approx([5, 5])
    wide, narrow = gains(width=4.0), gains(width=1.0)
    assert less(wide, narrow)(kept).largest == pytest.approx([2, 2])
    assert metrics(rho=0.0, width=1.0)(kept).largest == pytest.approx([70, 80])


def test_best_rhos_are_of_each_seed_and_give_an_exponent(folder):
    kept = add("tiny", [folder])
    assert best_rhos()(kept).by_x == {1000: [0.1, 0.1], 4000: [0.2, 0.2]}
    assert exponents()(kept).largest == pytest.approx([0.5, 0.5])  # log 2 / log 4


def results(**more):
    return Study(
        "grid",
        ("python -m recipes.grid",),
        tuple(
            {"setting.rho": rho, "setting.width": w, "setting.seed": s, "loss": loss, **more}
            for rho, w, s, loss in [
                (0.0, 1, 0, 4.0), (0.0, 1, 1, 6.0), (0.1, 1, 0, 2.0), (0.1, 1, 1, 3.0),
                (0.0, 2, 0, 8.0), (0.1, 2, 0, 2.0), (0.1, 2, 1, 2.0),
            ]
        ),
    )  # fmt: skip


def test_changes_are_paired_by_all_other_settings():
    kept = results()
    draw = changes("loss", {"rho": 0.0}, "width", rho=0.1)
    assert draw(kept).by_x == {1: [-2, -3], 2: [-6]}  # The other seed has no reference.
    ratio = changes("loss", {"rho": 0.0}, "width", relative=True, rho=0.1)
    assert ratio(kept).by_x == {1: [0.5, 0.5], 2: [0.25]}
    some = values(lambda row: 10 * row["loss"], rho=(0.0, 0.2), width=1)
    assert some(kept).largest == [40, 60]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-10],
        lambda text: text.replace('"columns"', '"colunms"'),
        lambda text: text.replace('"config.rho"', '"config.rh0"'),
        lambda text: text.replace("[\n  [", "[\n  [0, "),
        lambda text: "[]",
        lambda text: text.replace("0.84", "NaN"),
    ],
    ids=["torn", "key", "setting", "row", "list", "nan"],
)
def test_damaged_files_are_refused_by_name(folder, tmp_path, damage):
    path = add("tiny", [folder]).write(tmp_path / "results")
    text = path.read_text()
    assert damage(text) != text
    path.write_text(damage(text))
    with pytest.raises(ValueError, match=r"tiny\.json must be a file"):
        read_studies(tmp_path / "results")


def test_what_is_no_study_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="neither"):
        add("tiny", [tmp_path / "nothing"])
    with pytest.raises(ValueError, match="a file's name"):
        add("../tiny", [folder])
    append_record(folder / "records.jsonl", _other(record()))
    with pytest.raises(ValueError, match="of one recipe"):
        add("tiny", [folder])


def _other(one):
    return dataclasses.replace(one, config=one.config.replace(recipe="mnist"))


def test_results_of_an_experiment_are_those_that_its_command_asks_for(tmp_path):
    command = "python -m recipes.theory.stability --kinds rank1 --batch-sizes 1 --rhos 0 --seeds 2"
    experiment, settings = asked(command)
    path = tmp_path / "results.jsonl"
    lines = [
        {
            **{"setting": dataclasses.asdict(one), "environment": {"device": "CPU"}},
            **{"seconds": 1.5, "exact": 0.123456789123, "curve": [3.0, None, 1.0]},
            "centred": {"s_2": 0.5},
        }
        for one in settings
    ]
    path.write_text(json.dumps(lines[0]) + "\n")
    with pytest.raises(ValueError, match="1 of 2 results"):
        add("tiny", [tmp_path], [command])

    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    kept = add("tiny", [tmp_path], [command])
    assert experiment.module == "recipes.theory.stability"
    assert kept.commands == (command,)
    assert [row["seed"] for row in kept.results] == [0, 1]
    first = kept.results[0]
    assert (first["exact"], first["centred.s_2"]) == (0.12345679, 0.5)
    curve = {key: first[f"curve.{key}"] for key in ("first", "last", "least", "most", "count")}
    assert curve == {"first": 3.0, "last": 1.0, "least": 1.0, "most": 3.0, "count": 2}
    assert kept.seconds == 3.0
    assert Study.from_json("tiny", kept.to_json()) == kept


@pytest.mark.parametrize("command", ["recipes.minima", "python -m tuning.rho_search digits"])
def test_a_command_of_no_experiment_is_refused(command):
    with pytest.raises(ValueError, match="A command must be"):
        asked(command)


def test_step_times_are_a_study_paired_by_round(tmp_path):
    variant = {"package": "keras_sam", "network": "mlp", "filters": 0, "batch_size": 128}
    variant |= {"backend": "jax", "sparsity": 0.0}
    measurements = [
        {
            "variant": variant | {"rho": rho},
            **{"device": "CPU", "step_seconds": seconds, "peak_memory": 1.0, "failure": None},
        }
        for rho, seconds in ((None, [0.001, 0.001]), (0.0, [0.001, 0.002]), (0.05, [0.003, 0.004]))
    ]
    document = {
        "settings": {"networks": ["mlp"], "rounds": 2, "masked": True, "jit": False, "steps": None},
        "machine": {"platform": "Linux", "python": "3.12"},
        "measurements": measurements,
    }
    file = tmp_path / "step_time.json"
    file.write_text(json.dumps(document))
    kept = add_timings("step_time", file)
    command = "python -m tests.benchmarks.step_time --networks mlp --rounds 2 --masked"
    assert kept.commands == (command,)
    ratio = changes("milliseconds", {"rho": 0.0, "sparsity": 0.0}, relative=True, rho=0.05)
    assert ratio(kept).largest == pytest.approx([3, 2])
    file.write_text("{}")
    with pytest.raises(ValueError, match="step_time"):
        add_timings("step_time", file)


def test_flat_is_undone_by_nested():
    data = {"config": {"rho": 0.1, "options": {}}, "metric": {"name": "accuracy"}, "seconds": 2.0}
    assert nested(flat(data)) == data
