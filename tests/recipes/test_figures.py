"""Figures are drawn from records, with the numbers that the records hold."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from recipes.figures import main
from recipes.reporting import figures
from recipes.reporting.axes import log_ticks
from recipes.reporting.comparison import comparisons
from recipes.reporting.titles import settings
from recipes.running.recipe import find
from recipes.running.records import append_record
from tests.recipes.test_comparison import record, study


def line(axes, label):
    (container,) = [c for c in axes.containers if c.get_label() == label]
    return container.lines[0].get_xydata()


def test_curves_hold_the_measured_numbers():
    figure = figures.size_figure(comparisons(study()))
    curves, gain, best_rho, loss, accuracy, gains = figure.axes

    np.testing.assert_allclose(line(curves, "SGD"), [[1000, 75], [4000, 85]])
    np.testing.assert_allclose(line(curves, "SAM, best rho"), [[1000, 78], [4000, 90]])
    np.testing.assert_allclose(line(gain, "rho tuned at each size"), [[1000, 3], [4000, 5]])
    np.testing.assert_allclose(line(gain, "fixed rho 0.2"), [[1000, 5], [4000, 5]])
    np.testing.assert_allclose(line(best_rho, "best on validation"), [[1000, 0.1], [4000, 0.2]])
    np.testing.assert_allclose(line(accuracy, "1,000 parameters"), [[0.1, 78], [0.2, 80]])
    np.testing.assert_allclose(line(gains, "4,000 parameters"), [[0.1, 1], [0.2, 5]], atol=1e-9)
    np.testing.assert_allclose(line(loss, "SGD")[:, 1], 0.1)


def test_a_rule_is_drawn_where_there_is_one():
    figure = figures.size_figure(comparisons(study()), rule=lambda parameters: parameters / 1e5)
    (rule,) = [drawn for drawn in figure.axes[2].lines if drawn.get_label() == "rule"]
    np.testing.assert_allclose(rule.get_xydata(), [[1000, 0.01], [4000, 0.04]])


def test_a_folder_gets_the_figures_that_its_records_have_something_for(tmp_path, capsys):
    for run in study():
        append_record(tmp_path / "deep" / "records.jsonl", run)
    main([str(tmp_path)])
    assert [path.name for path in tmp_path.glob("*.png")] == ["size.png"]
    assert "+3.00 ± 1.00" in capsys.readouterr().out

    for noise in (0.2, 0.4):
        for rho in (0.0, 0.1):
            append_record(tmp_path / "records.jsonl", record(rho=rho, label_noise=noise))
    main([str(tmp_path)])
    assert (tmp_path / "label_noise.png").stat().st_size > 10_000


def test_another_report_is_another_file_and_says_its_epoch(tmp_path):
    for run in study():
        append_record(tmp_path / "records.jsonl", run)
    main([str(tmp_path)])
    own = (tmp_path / "size.png").read_bytes()
    main([str(tmp_path), "--report", "best_test"])
    assert (tmp_path / "size.png").read_bytes() == own
    assert (tmp_path / "size,report=best_test.png").exists()
    titles = {
        report: figures.size_figure(comparisons(study()), report=report).get_suptitle()
        for report in ("selected", "last")
    }
    assert "epoch selected on validation" in titles["selected"]
    assert "last epoch" in titles["last"]


def test_titles_tell_studies_apart():
    noisy = [record(rho=rho, label_noise=0.4, epochs=7) for rho in (0.0, 0.1)]
    title = figures.size_figure(comparisons(noisy)).get_suptitle()
    assert "8x8 digits, perceptron: SAM against SGD, 1 seed," in title
    rest = " ".join(title.splitlines()[1:])
    assert rest.startswith("epoch selected on validation; label noise 0.4, ")
    assert "epochs 7" in rest


def test_titles_say_how_long_and_on_how_many_examples_and_fit_into_the_figure():
    default = find("digits").default
    assert settings(default) == "epochs 40"
    changed = default.replace(label_noise=0.4, take=1200, learning_rate=0.05, rho=0.1, seed=3)
    text = settings(changed)
    assert text == "label noise 0.4, examples 1,200, learning rate 0.05, epochs 40"
    runs = [record(rho=rho, label_noise=0.4, take=1200, patience=3) for rho in (0.0, 0.1)]
    title = figures.size_figure(comparisons(runs)).get_suptitle()
    assert "examples 1,200" in title
    assert max(map(len, title.splitlines())) <= 12 * figures.WIDTH


def test_figures_are_narrow_and_white():
    figure = figures.size_figure(comparisons(study()))
    assert figure.get_figwidth() <= 6.5
    assert figure.get_facecolor() == (1, 1, 1, 1)


def test_sizes_are_the_ticks_and_every_panel_of_curves_has_a_legend():
    curves, gain, best_rho, loss, accuracy, _ = figures.size_figure(comparisons(study())).axes
    for axes in (curves, gain, best_rho, loss):
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1k", "4k"]
    assert all(axes.get_legend() is not None for axes in (curves, gain, accuracy, loss))
    assert len(loss.get_yticks()) > 2


def test_a_rho_far_too_large_does_not_flatten_the_rest():
    tests = {0.0: 0.9, 0.05: 0.91, 0.1: 0.92, 0.2: 0.93, 0.4: 0.915, 5.0: 0.1}
    runs = [record(rho=rho, test=test) for rho, test in tests.items()]
    *_, accuracy, gains = figures.size_figure(comparisons(runs)).axes
    assert 90 < accuracy.get_ylim()[0] < 91
    assert gains.get_ylim()[0] > -2
    marks = [drawn for drawn in accuracy.lines if drawn.get_marker() == "v"]
    assert [drawn.get_xdata()[0] for drawn in marks] == [5.0]


def test_noise_and_sparsity_are_drawn_against_their_rate():
    runs = [
        record(label_noise=noise, rho=rho, test=0.9 - noise + noise * rho)
        for noise in (0.0, 0.4)
        for rho in (0.0, 0.1)
    ]
    plain, sam, gain, _ = figures.noise_figure(comparisons(runs)).axes
    np.testing.assert_allclose(line(plain, "width 1"), [[0, 90], [0.4, 50]])
    np.testing.assert_allclose(line(sam, "width 1"), [[0, 90], [0.4, 54]])
    np.testing.assert_allclose(line(gain, "width 1"), [[0, 0], [0.4, 4]], atol=1e-9)

    runs = [
        record(sparsity=sparsity, rho=rho, width=width, test=0.5 + rho * width)
        for sparsity, width in ((0.0, 1.0), (0.5, 2.0))
        for rho in (0.0, 0.1)
    ]
    against, _, gain, _ = figures.sparsity_figure(comparisons(runs)).axes
    np.testing.assert_allclose(line(against, "width 2"), [[0.5, 20]])
    np.testing.assert_allclose(line(gain, "sparsity 0"), [[1000, 10]])


def test_a_folder_without_records_is_an_error(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "no records" in capsys.readouterr().err


def test_a_logarithmic_axis_has_ticks_also_within_a_decade():
    axes = Figure().subplots()
    axes.plot([1, 2], [0.65, 1.45])
    log_ticks(axes)
    low, high = axes.get_ylim()
    assert sum(low <= tick <= high for tick in axes.get_yticks()) >= 4
