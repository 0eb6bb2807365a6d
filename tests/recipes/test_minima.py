"""The recipe of minima: limits by hand, a real run on digits, table, figure, bad input."""

import json
import math

import pytest

from recipes.minima.__main__ import EXPERIMENT
from recipes.minima.figure import figure
from recipes.minima.measure import measure
from recipes.minima.report import diverged, table
from recipes.minima.setting import Setting
from recipes.running.experiment import Result

main = EXPERIMENT.main

SMALL = [
    *("--dataset", "digits", "--width", "0.05", "--train-size", "100", "--batch-size", "50"),
    *("--goal", "0.2", "--rhos", "0", "0.3", "--seeds", "1", "--max-steps", "400"),
]


def result(
    rho=0.0,
    seed=0,
    loss=5e-4,
    lambda_max=10.0,
    trace=100.0,
    s_2=20.0,
    s_3=30.0,
    s_4=40.0,
    **setting,
):
    return Result(
        setting=Setting(rho=rho, seed=seed, **setting),
        values={
            "steps": 100,
            "loss": loss,
            "test_accuracy": 0.9,
            "lambda_max": lambda_max,
            "trace": trace,
            "trace_error": 1.0,
            "s_2": s_2,
            "s_3": s_3,
            "s_4": s_4,
        },
        seconds=1.0,
    )


@pytest.mark.parametrize("rho", [0.0, 0.01, 0.1, 1.0])
def test_limit_separates_stable_from_unstable_steps_on_a_parabola(rho):
    setting = Setting(rho=rho, learning_rate=0.2)
    for factor, grows in ((0.99, False), (1.01, True)):
        curvature = factor * setting.limit
        w = 1.0
        for _ in range(2000):
            e = rho * curvature * w
            w -= 0.2 * curvature * (w + e)
            if abs(w) > 10:
                break
        assert (abs(w) > 1) == grows


def test_limit_by_hand():
    assert Setting(learning_rate=0.1).limit == 20
    assert Setting(learning_rate=0.1, rho=0.1).limit == pytest.approx(10)  # .1 * 10 (1 + 1) = 2
    assert math.isnan(Setting(rho=0.1, normalize=True).limit)


@pytest.mark.slow
def test_digits_from_command_line_to_figure(tmp_path, capsys):
    main([*SMALL, "--output", str(tmp_path)])
    folder = tmp_path / "minima"
    results = [Result.from_json(line, Setting) for line in (folder / "results.jsonl").open()]
    assert [(r.setting.rho, r.setting.seed) for r in results] == [(0, 0), (0.3, 0)]
    for r in results:
        assert 0 < r["loss"] < 0.5
        # Moments of one distribution: of H_i alike in all but size, s_2 <= s_3 <= s_4 roughly.
        assert 0 < r["s_2"] < 2 * r["s_3"] < 4 * r["s_4"]
        # Eigenvalues of a Hessian that is nearly positive semi-definite: lambda_max <= trace.
        assert 0 < r["lambda_max"] < 1.05 * (r["trace"] + 3 * r["trace_error"])
        assert r["steps"] <= 400
    text = capsys.readouterr().out
    assert (folder / "minima.md").read_text().strip() in text
    assert (folder / "minima.png").read_bytes().startswith(b"\x89PNG")

    # What is done is not done again, and gives the same text.
    lines = (folder / "results.jsonl").read_text()
    main([*SMALL, "--output", str(tmp_path)])
    assert (folder / "results.jsonl").read_text() == lines
    assert capsys.readouterr().out.strip().startswith("| rho")


@pytest.mark.slow
def test_same_setting_same_numbers():
    setting = Setting(
        dataset="digits", width=0.05, train_size=100, batch_size=50, max_steps=100, rho=0.1
    )
    first, second = (measure(setting) for _ in range(2))
    assert first == second


@pytest.mark.slow
def test_a_pruned_network_has_the_hessian_of_what_is_kept():
    shared = {"dataset": "digits", "width": 0.05, "train_size": 100, "batch_size": 50}
    dense, sparse = (
        measure(Setting(**shared, max_steps=100, sparsity=sparsity)) for sparsity in (0.0, 0.9)
    )
    # The trace adds up fewer entries, of a network that can do less.
    assert 0 < sparse["trace"] < dense["trace"]
    assert sparse["loss"] > dense["loss"]
    with pytest.raises(ValueError, match="`sparsity` must be in"):
        Setting(sparsity=1.0)


def test_divergence_is_recorded(tmp_path, capsys):
    arguments = ["--learning-rate", "1e6", "--rhos", "0", "--seeds", "1", "--max-steps", "100"]
    main([*SMALL, *arguments, "--output", str(tmp_path)])
    (line,) = (tmp_path / "minima" / "results.jsonl").read_text().splitlines()
    assert json.loads(line)["lambda_max"] is None
    assert diverged(Result.from_json(line, Setting))
    assert "rho 0: 1 run diverged." in capsys.readouterr().out


def test_table_by_hand():
    results = [
        result(lambda_max=18.0, trace=300, s_2=40, loss=2e-3),
        result(seed=1, lambda_max=20.0, trace=500, s_2=44),
        result(rho=0.1, lambda_max=9.0),
        result(rho=0.1, seed=1, lambda_max=math.nan, loss=math.nan),
    ]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table(results).splitlines()
        if line.startswith("|")
    ]
    named = dict(zip(rows[0], rows[2], strict=True))
    assert named["rho"] == "SGD"
    assert named["seeds"] == "2"
    assert named["lambda_max"] == "19.00 ± 1.00"
    assert named["limit"] == "20.00"
    assert named["eta lambda_max"] == "1.90 ± 0.10"
    assert named["trace"] == "400 ± 100"
    assert named["s_2"] == "42.0 ± 2.0"
    sam = dict(zip(rows[0], rows[3], strict=True))
    assert sam["seeds"] == "1"
    assert sam["lambda_max"] == "9.00"
    assert named["s_2 limit"] == sam["s_2 limit"] == "10.0"  # 1 / eta
    assert "rho 0.1: 1 run diverged." in table(results)
    assert "rho 0: 1 run above the goal of 0.001 at the end." in table(results)


def test_limits_of_the_moments_by_hand():
    """Eq. 7 at eta = .1: 1 / eta, (2 eta^2 rho)^(-1/3), (eta rho)^(-1/2)."""
    results = [
        result(),
        result(rho=0.03, s_3=12.25, s_4=math.nan),
        result(rho=0.1, s_3=-3.0),
        result(rho=0.3, normalize=True),
    ]
    del results[1].values["s_4"]  # As in results of before version 0.2.
    text = table(results)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    plain, small, large, normalized = (dict(zip(rows[0], row, strict=True)) for row in rows[2:])
    assert [plain[f"s_{k} limit"] for k in (2, 3, 4)] == ["10.0", "-", "-"]  # SGD: s_2 alone.
    # 1 / (2 * .01 * .03) = 1666.7 = 11.86^3, 1 / .003 = 333.3 = 18.26^2; rho < eta / 2 = .05.
    assert [small[f"s_{k} limit"] for k in (2, 3, 4)] == ["10.0", "11.9", "18.3"]
    assert (small["s_2"], small["s_3"], small["s_4"]) == ("20.0", "12.2", "-")
    # 1 / (2 * .01 * .1) = 500 = 7.94^3; 1 / .01 = 10^2; rho > eta / 2: of centred moments alone.
    assert [large[f"s_{k} limit"] for k in (2, 3, 4)] == ["10.0", "7.9 *", "10.0 *"]
    assert large["s_3"] == "-3.0"
    assert [normalized[f"s_{k} limit"] for k in (2, 3, 4)] == ["-", "-", "-"]  # No theory.
    assert "*: rho > eta / 2, where Eq. 7 bounds the centred moments" in text
    assert "*: rho > eta / 2" not in table(results[:2])


def test_figure_shows_means_errors_and_the_edge():
    results = [
        result(lambda_max=18.0),
        result(seed=1, lambda_max=20.0),
        result(rho=0.1, lambda_max=9.0),
        result(rho=0.1, seed=1, lambda_max=math.nan, loss=math.nan),
    ]
    panels = figure(results).axes
    means = panels[0].containers[0].lines[0]
    (edge,) = [line for line in panels[0].lines if line.get_label() == "edge of stability"]
    assert list(means.get_ydata()) == pytest.approx([19, 9])
    assert list(edge.get_ydata()[[0, -1]]) == pytest.approx([20, 10])
    assert [axes.get_ylabel() for axes in panels] == [
        "largest eigenvalue",
        "trace",
        "non-uniformity $s_2$",
    ]


def test_results_survive_the_file():
    for each in (result(), result(rho=0.1, loss=math.nan)):
        again = Result.from_json(each.to_json(), Setting)
        assert repr(again) == repr(each)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rhos", "-1"], "`rho` must be finite and >= 0. Received: `rho=-1.0`"),
        (["--train-size", "150"], "`train_size` must be a multiple of `batch_size`, 100"),
        (["--learning-rate", "nan"], "`learning_rate` must be finite and > 0"),
        (["--goal", "0"], "`goal` must be finite and > 0. Received: `goal=0.0`"),
        (["--seeds", "0"], "`seeds` must be >= 1. Received: `seeds=0`"),
        (["--max-steps", "0"], "`max_steps` must be >= 1"),
    ],
)
def test_bad_flags(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


def test_more_examples_than_there_are(tmp_path):
    arguments = ["--dataset", "digits", "--train-size", "5000", "--output", str(tmp_path)]
    with pytest.raises(SystemExit, match=r"`train_size` must be at most what digits has"):
        main(arguments)
