"""Comparisons, table and notes against numbers worked out by hand."""

import csv
import dataclasses
import io
import json
import math

import numpy as np
import pytest

from recipes.reporting.comparison import REPORTS, compare, comparisons, fixed_rho
from recipes.reporting.markdown import aligned
from recipes.reporting.outcome import Outcome
from recipes.reporting.table import gain_is_clear, notes, rows, table, to_csv, to_json
from recipes.running.metric import Metric
from tests.recipes.test_records import make_record


def record(width=1.0, rho=0.0, seed=0, validation=0.9, test=0.8, **changes):
    base = make_record(width=width, rho=rho, seed=seed, **changes)
    metrics = {"epoch": 1, "val_accuracy": validation, "test_accuracy": test}
    return dataclasses.replace(
        base, selected=metrics, kept_parameters=round(1000 * width), train={"loss": 0.1}
    )


def diverged(**changes):
    return dataclasses.replace(record(**changes), status="diverged", selected={}, train={})


def study():
    """Two widths; on the wide one rho 0.2 is best, on the narrow one rho 0.1."""
    validation = {
        1.0: {0.0: [0.80, 0.82], 0.1: [0.84, 0.86], 0.2: [0.83, 0.85]},
        4.0: {0.0: [0.90, 0.90], 0.1: [0.90, 0.92], 0.2: [0.95, 0.97]},
    }
    test = {
        1.0: {0.0: [0.70, 0.80], 0.1: [0.72, 0.84], 0.2: [0.75, 0.85]},
        4.0: {0.0: [0.85, 0.85], 0.1: [0.86, 0.86], 0.2: [0.89, 0.91]},
    }
    return [
        record(width, rho, seed, validation[width][rho][seed], test[width][rho][seed])
        for width in (4.0, 1.0)
        for rho in (0.0, 0.1, 0.2)
        for seed in (0, 1)
    ]


def test_gain_is_that_of_the_rho_which_validation_chose():
    narrow, wide = comparisons(study())

    assert (narrow.parameters, wide.parameters) == (1000, 4000)
    assert (narrow.best.rho, wide.best.rho) == (0.1, 0.2)
    # Differences within seeds: 0.02 and 0.04; the spread between seeds, 0.1, cancels.
    assert narrow.best.gain == pytest.approx(0.03)
    assert narrow.best.gain_error == pytest.approx(0.01)
    assert narrow.best.test_error == pytest.approx(0.06)
    assert wide.best.gain == pytest.approx(0.05)


def test_standard_errors_against_numpy():
    rng = np.random.default_rng(0)
    plain, sam = rng.normal(size=(2, 7))
    outcomes = [Outcome(0.0, seed, 0.5, value, 0.0) for seed, value in enumerate(plain)]
    outcomes += [Outcome(0.1, seed, 0.5, value, 0.0) for seed, value in enumerate(sam)]
    best = compare(outcomes, 10).best
    assert best.gain == pytest.approx(np.mean(sam - plain))
    assert best.gain_error == pytest.approx(np.std(sam - plain, ddof=1) / np.sqrt(7))


def test_pairs_are_made_by_seed_whatever_the_order():
    outcomes = [Outcome(0.0, 0, 0.5, 0.1, 0.0), Outcome(0.0, 1, 0.5, 0.9, 0.0)]
    outcomes += [Outcome(0.1, 1, 0.5, 1.0, 0.0), Outcome(0.1, 0, 0.5, 0.2, 0.0)]
    best = compare(outcomes, 10).best
    assert best.gains == pytest.approx({0: 0.1, 1: 0.1})


def test_a_metric_to_minimise_gains_when_it_falls():
    outcomes = [Outcome(0.0, 0, -0.5, 0.5, 0.0), Outcome(0.1, 0, -0.3, 0.3, 0.0)]
    assert compare(
        outcomes, 10, metric=Metric("loss", higher_is_better=False)
    ).best.gain == pytest.approx(0.2)


def test_of_equal_scores_the_smaller_rho_is_best():
    outcomes = [Outcome(rho, 0, 0.9, 0.9, 0.0) for rho in (0.2, 0.1, 0.4)]
    assert compare(outcomes, 10).best.rho == 0.1


def test_equal_scores_are_told_apart_by_the_validation_loss():
    outcomes = [
        Outcome(rho, seed, 0.9 + 0.01 * seed, 0.9, 0.0, loss=loss)
        for rho, loss in ((0.1, 0.5), (0.2, 0.3), (0.4, 0.4))
        for seed in (0, 1)
    ]
    assert compare(outcomes, 10).best.rho == 0.2
    assert fixed_rho([compare(outcomes, 10)]) == 0.2
    # A better score wins whatever its loss.
    outcomes += [Outcome(0.8, seed, 0.92, 0.9, 0.0, loss=9.0) for seed in (0, 1)]
    assert compare(outcomes, 10).best.rho == 0.8
    records = [
        dataclasses.replace(
            record(rho=rho), selected={"val_accuracy": 0.9, "test_accuracy": 0.8, "val_loss": loss}
        )
        for rho, loss in ((0.1, 0.5), (0.2, 0.3))
    ]
    assert comparisons(records)[0].best.rho == 0.2


def test_a_run_whose_score_alone_is_nan_counts_as_diverged():
    outcomes = [Outcome(0.1, 0, math.nan, 0.9, 0.1), Outcome(0.2, 0, 0.5, 0.5, 0.1)]
    comparison = compare(outcomes, 10)
    assert (comparison.at(0.1).diverged, comparison.at(0.1).scores) == (1, {})
    assert comparison.best.rho == 0.2
    outcomes = [Outcome(0.1, 0, 0.9, math.nan, 0.1), Outcome(0.2, 0, 0.5, 0.5, 0.1)]
    assert compare(outcomes, 10).at(0.1).diverged == 1


def test_the_validation_of_the_reported_epoch_chooses_rho():
    """That of the last epoch for "last"; for "best_test" that of the selected one."""

    def run(rho, selected, last, best_test):
        epochs = {"selected": selected, "last": last, "best_test": best_test}
        metrics = {
            name: {"val_accuracy": score, "test_accuracy": 0.5} for name, score in epochs.items()
        }
        return dataclasses.replace(record(rho=rho), **metrics)

    runs = [run(0.0, 0.5, 0.5, 0.5), run(0.1, 0.9, 0.7, 0.1), run(0.2, 0.8, 0.8, 0.9)]
    best = {report: comparisons(runs, report)[0].best.rho for report in REPORTS}
    assert best == {"selected": 0.1, "last": 0.2, "best_test": 0.1}


def test_notes_for_a_single_rho_and_for_single_seeds():
    one = comparisons([record(rho=rho, seed=seed) for rho in (0.0, 0.1) for seed in (0, 1)])
    assert not any("that was tried" in note for note in notes(one))
    assert any("Gain within noise" in note for note in notes(one))
    (alone,) = comparisons([record(), record(rho=0.1), record(rho=0.2, validation=0.95)])
    text = notes([alone])
    assert "Mean ± standard error over 1 seed, gains paired." in text
    assert "No interval for the gain, with fewer than two pairs: 1,000 parameters." in text
    assert "Best rho is the largest that was tried: 1,000 parameters." in text
    assert not any("within noise" in note for note in text)
    without = comparisons([record(rho=0.1, seed=seed) for seed in (0, 1)])
    assert any("No interval" in note for note in notes(without))


def test_a_whole_line_of_the_table_and_the_seeds_of_its_json():
    found = comparisons(study())
    (header, _, narrow, wide, *_) = table(found).splitlines()
    assert header.split("|")[1:-1] == [
        " width ",
        " parameters ",
        "   SGD test % ",
        "   SAM test % ",
        "         gain ",
        " best rho ",
        " gain, fixed rho ",
        " SGD train loss ",
        " SAM train loss ",
    ]
    assert narrow == (
        "|     1 |      1,000 | 75.00 ± 5.00 | 78.00 ± 6.00 | +3.00 ± 1.00 |      0.1 |"
        "    +5.00 ± 0.00 |         0.1000 |         0.1000 |"
    )
    assert wide == (
        "|     4 |      4,000 | 85.00 ± 0.00 | 90.00 ± 1.00 | +5.00 ± 1.00 |      0.2 |"
        "    +5.00 ± 1.00 |         0.1000 |         0.1000 |"
    )
    data = json.loads(to_json(found))
    assert [entry["seeds"] for entry in data[0]["results"]] == [[0, 1]] * 3


def test_the_papers_gain_stands_beside_ours_where_it_is_of_the_same_thing():
    runs = [record(0.25, rho, recipe="mnist") for rho in (0.0, 0.1)]
    header, _, line, *_ = table(comparisons(runs)).splitlines()
    assert header.endswith("| paper's gain |")
    assert line.endswith("|        +0.07 |")
    noisy = [record(0.25, rho, recipe="mnist", label_noise=0.4) for rho in (0.0, 0.1)]
    assert "paper" not in table(comparisons(noisy))


def test_a_rho_at_which_a_run_diverged_is_not_chosen_and_is_told():
    records = [*study()[:6], diverged(width=4.0, rho=0.2, seed=2)]
    (comparison,) = comparisons(records)
    assert comparison.best.rho == 0.1
    assert comparison.at(0.2).diverged == 1
    assert "4,000 parameters: 1 run diverged at rho 0.2." in notes([comparison])
    assert json.loads(to_json([comparison]))[0]["diverged"] == 1


def test_a_baseline_that_diverged_leaves_its_pair_out():
    records = [r for r in study()[:6] if (r.config.rho, r.config.seed) != (0.0, 0)]
    (comparison,) = comparisons([*records, diverged(width=4.0, rho=0.0, seed=0)])
    assert comparison.best.gains == pytest.approx({1: 0.06})
    assert math.isnan(comparison.best.gain_error)


def test_a_rho_with_fewer_seeds_is_not_chosen():
    outcomes = [Outcome(0.1, seed, 0.8, 0.8, 0.0) for seed in (0, 1)]
    outcomes += [Outcome(0.2, 0, 0.99, 0.99, 0.0)]
    assert compare(outcomes, 10).best.rho == 0.1


def test_without_sam_there_is_no_best():
    (comparison,) = comparisons([record()])
    assert comparison.best is None
    assert table([comparison]).count(" - |") == 5


def test_the_plain_optimizer_is_the_baseline_of_every_variant():
    records = [record(), record(rho=0.1, test=0.9), record(rho=0.1, adaptive=True, test=0.7)]
    found = comparisons(records)
    assert sorted(round(c.best.gain, 3) for c in found) == [-0.1, 0.1]


def test_reports_differ_in_the_epoch_that_counts():
    runs = [
        dataclasses.replace(
            record(rho=rho),
            selected={"val_accuracy": 0.9, "test_accuracy": 0.5 + rho},
            last={"val_accuracy": 0.8, "test_accuracy": 0.5 + 2 * rho},
            best_test={"val_accuracy": 0.1, "test_accuracy": 0.5 + 3 * rho},
        )
        for rho in (0.0, 0.1)
    ]
    gains = {
        report: comparisons(runs, report)[0].best.gain
        for report in ("selected", "last", "best_test")
    }
    assert gains == pytest.approx({"selected": 0.1, "last": 0.2, "best_test": 0.3})
    with pytest.raises(ValueError, match="Received: `report='best'`"):
        comparisons(runs, "best")


def test_fixed_rho_is_the_best_over_all_sizes_together():
    found = comparisons(study())
    # Validation means over both widths: 0.88 at 0.1, 0.90 at 0.2.
    assert fixed_rho(found) == 0.2
    assert rows(found)[0]["fixed_gain"] == pytest.approx(0.05)
    assert fixed_rho(comparisons([record()])) is None


def test_a_gain_is_clear_only_beyond_its_t_interval():
    def result(gains):
        outcomes = [Outcome(0.0, seed, 0.5, 0.0, 0.0) for seed in range(len(gains))]
        outcomes += [Outcome(0.1, seed, 0.5, gain, 0.0) for seed, gain in enumerate(gains)]
        return compare(outcomes, 10).best

    # Two pairs: mean 2, standard error 1; t(0.975, 1) = 12.7.
    assert not gain_is_clear(result([1.0, 3.0]))
    assert gain_is_clear(result([1.0, 1.1]))
    assert gain_is_clear(result([-1.0, -1.1]))
    assert not gain_is_clear(result([1.0]))


def test_table_csv_and_json_say_the_same():
    found = comparisons(study())
    text = table(found)
    assert "+3.00 ± 1.00" in text
    assert "Gain within noise" in text
    (narrow, wide) = csv.DictReader(io.StringIO(to_csv(found)))
    assert float(narrow["sam_gain"]) == pytest.approx(0.03)
    data = json.loads(to_json(found))
    assert data[1]["sam_rho"] == float(wide["sam_rho"]) == 0.2
    assert [entry["rho"] for entry in data[0]["results"]] == [0.0, 0.1, 0.2]


def test_settings_that_differ_get_a_column():
    records = [record(label_noise=noise, rho=rho) for noise in (0.0, 0.4) for rho in (0.0, 0.1)]
    header = table(comparisons(records)).splitlines()[0]
    assert "label_noise" in header
    assert "batch_size" not in header


def test_aligned_columns():
    assert aligned([["a", "bc"], ["10", "2"]]) == "|  a | bc |\n|---:|---:|\n| 10 |  2 |"
