"""The comparison of methods: rows by hand, table, figure, bad input, and a short real run."""

import dataclasses
import math

import pytest

from recipes.methods.__main__ import EXPERIMENT
from recipes.methods.comparison import rows
from recipes.methods.figure import figure
from recipes.methods.report import line, table
from recipes.methods.setting import Setting
from recipes.methods.variants import VARIANTS
from recipes.running.experiment import Result
from recipes.running.metric import ACCURACY


def result(method, rho, seed, validation, test, seconds, selected, diverged=False):
    return Result(
        setting=Setting(method=method, rho=rho, seed=seed),
        values={
            "validation": validation,
            "test": test,
            "selected": selected,
            "metric": ACCURACY.to_dict(),
            "diverged": diverged,
            "epoch_seconds": seconds,
            "train_loss": 0.1,
            "parameters": 10,
        },
        seconds=1.0,
    )


RESULTS = [
    result("sgd", 0.1, 0, [0.5, 0.8, 0.7], [0.5, 0.7, 0.6], 1.0, 2),
    result("sgd", 0.1, 1, [0.5, 0.6, 0.7], [0.5, 0.6, 0.5], 2.0, 3),
    result("sam", 0.1, 0, [0.8, 0.9, 0.9], [0.6, 0.8, 0.9], 3.0, 2),
    result("sam", 0.1, 1, [0.5, 0.6, 0.6], [0.5, 0.7, 0.9], 3.0, 2),
    result("sam", 0.2, 0, [0.5, 0.5, 0.5], [0.9, 0.9, 0.9], 3.0, 1),
    result("sam", 0.2, 1, [0.5, 0.5, 0.5], [0.9, 0.9, 0.9], 3.0, 1),
    result("msam", 0.1, 0, [math.nan], [math.nan], 1.0, math.nan, diverged=True),
    result("msam", 0.1, 1, [0.7], [0.7], 1.0, 1),
]


def test_rows_by_hand():
    sgd, sam = rows(RESULTS)  # msam diverged at its only rho.
    assert (sgd.method, sam.method) == ("sgd", "sam")
    assert sgd.best.test == pytest.approx(0.6)  # 0.7 and 0.5, the selected epochs.
    assert sam.best.rho == 0.1  # By validation, although 0.2 tests better.
    assert sam.best.gain == pytest.approx((0.8 - 0.7 + 0.7 - 0.5) / 2)
    assert sam.last_gain == pytest.approx((0.9 - 0.6 + 0.9 - 0.5) / 2)
    assert sam.epoch_time == pytest.approx(3.0 / 1.5)
    # Seed 0: SAM is at 0.8 after one epoch, SGD after two. Seed 1: SAM never is at 0.7.
    assert sam.reached == 1
    assert sam.time_to_equal == pytest.approx(1 * 3.0 / (2 * 1.5))
    assert sgd.time_to_equal == 1.0


def test_the_table_and_the_line_say_so():
    text = table(RESULTS)
    row = next(row for row in text.splitlines() if row.split()[1:2] == ["sam"])
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        *("sam", "2", "2.00x", "0.1", "75.00 ± 5.00", "+15.00 ± 5.00", "+35.00 ± 5.00"),
        *("1.00x", "1/2"),
    ]
    assert line(RESULTS[2]) == "sam, rho 0.1, seed 0: test % 80.00, 1.0 s"
    assert "diverged" in line(RESULTS[6])


def test_the_figure_has_a_point_a_method():
    drawn = figure(RESULTS)
    assert [axes.get_title() for axes in drawn.axes] == ["selected epoch", "last epoch"]
    assert [text.get_text() for text in drawn.axes[0].texts] == ["sam"]


def test_a_method_is_its_settings_and_its_own_unit_of_rho():
    config = Setting(method="msam", rho=0.2, epochs=3, label_noise=0.4).config
    assert (config.method, config.rho, config.epochs, config.label_noise) == ("msam", 3.0, 3, 0.4)
    assert Setting(method="looksam").config.every == 5
    # The plain optimizer has no rho: one run a seed.
    assert Setting(method="sgd", rho=0.1) == Setting(method="sgd", rho=0.2)
    assert Setting(method="sgd").config.rho == 0.0
    for name in VARIANTS:
        assert dataclasses.replace(Setting(), method=name, rho=0.1).config.recipe == "digits"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "bogus"}, "`method` must be one of sgd, sam"),
        ({"method": "sam", "rho": 0.0}, "`rho` must be finite and > 0"),
        ({"recipe": "bogus"}, "must be one of"),
        ({"label_noise": 2.0}, "`label_noise`"),
    ],
)
def test_bad_input(changes, message):
    with pytest.raises(ValueError, match=message):
        Setting(**changes)


def test_without_the_plain_optimizer_there_is_no_gain():
    with pytest.raises(ValueError, match="`methods` must include sgd"):
        rows(RESULTS[2:])


@pytest.mark.slow
def test_a_short_run(tmp_path, capsys):
    arguments = ["--quick", "--epochs", "2", "--seeds", "1", "--take", "300"]
    arguments += ["--methods", "sgd", "msam", "--output", str(tmp_path)]
    EXPERIMENT.main(arguments)
    first = capsys.readouterr().out
    assert (tmp_path / "methods" / "methods.png").read_bytes().startswith(b"\x89PNG")
    EXPERIMENT.main(arguments)  # Nothing is measured twice.
    assert "/2  " not in capsys.readouterr().out
    assert "2/2  msam" in first
