"""The page that is kept is the one that its records make."""

import pytest

from recipes.paper import __main__ as command
from recipes.paper import summary
from recipes.paper.adding import add
from recipes.paper.page import cells, page
from recipes.paper.row import NOT_AFFORDABLE, OPEN, VERDICTS, Check, Row
from recipes.paper.rows import ROWS
from recipes.paper.rules import above, rising
from recipes.paper.sample import gains
from recipes.paper.study import read_studies
from recipes.running.records import append_record
from tests.recipes.test_comparison import study

DOCS = command.DOCS


@pytest.fixture(scope="module")
def studies():
    return read_studies(DOCS / "results")


def test_page_and_records_agree(studies):
    assert (DOCS / "paper.md").read_text(encoding="utf-8") == page(studies)


def test_readme_and_records_agree(studies):
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert summary.START in text
    assert text == summary.with_table(text, studies)


def test_the_summary_tells_smallest_and_largest(tmp_path):
    rows = summary.table({}).splitlines()[2:]
    assert rows[0] == (
        "| synthetic regression, MLP (test loss) | +0.026 (10.2k) → +0.083 (102k) | not run |  |"
    )
    assert len(rows) == 8  # The workloads of the paper.
    for one in study():
        append_record(tmp_path / "records.jsonl", one)
    kept = {"digits": add("digits", [tmp_path])}
    (line,) = (row for row in summary.table(kept).splitlines() if "digits" in row)
    sample = gains()(kept["digits"])
    least, *_, most = sample.by_x
    assert f"({least:g})" in line or f"({least / 1e3:.3g}k)" in line
    assert f"{sum(sample.by_x[most]) / len(sample.by_x[most]):+.2f}" in line


def test_no_row_is_empty(studies):
    for row in ROWS:
        line = cells(row, studies)
        assert line[-1].strip("*") in VERDICTS
        assert all(line), row.claim
        if not row.checks:
            assert row.verdict(studies) in (OPEN, NOT_AFFORDABLE)


def test_the_figure_can_be_drawn_from_the_records(studies):
    from recipes.paper.figure import figure

    assert len(figure(studies).axes) >= 8  # The workloads of the paper.


def test_a_row_without_records_says_so():
    check = Check("the gain rises", "digits", gains(), rising)
    line = cells(Row("somewhere", "something", "-", (check,)), {})
    assert line[2] == "no records yet of `digits`"
    assert "python -m tuning.rho_search digits --seeds 10" in line[3]
    assert line[-1] == "**open**"


def test_a_check_without_records_in_a_study_says_so(tmp_path):
    for one in study():
        append_record(tmp_path / "records.jsonl", one)
    kept = {"tiny": add("tiny", [tmp_path])}
    checks = [
        Check(says, "tiny", gains(width=width), above)
        for says, width in (("narrow", 1.0), ("wider", 9.0))
    ]
    line = cells(Row("somewhere", "something", "-", tuple(checks)), kept)
    assert line[2].endswith("too few seeds for an interval<br>no records yet: wider")
    assert line[-1] == "**does not show**"


def test_the_command_adds_a_study_makes_the_page_and_checks_it(tmp_path, capsys):
    for one in study():
        append_record(tmp_path / "runs" / "records.jsonl", one)
    docs = ["--docs", str(tmp_path / "docs")]

    command.main(["--add", str(tmp_path / "runs"), "--as", "digits", *docs])
    assert "12 results" in capsys.readouterr().out
    command.main(["--check", *docs])
    text = (tmp_path / "docs" / "paper.md").read_text()
    (tmp_path / "docs" / "paper.md").write_text(text.replace("+3.00", "+4.00"))
    with pytest.raises(SystemExit, match="not what its records say"):
        command.main(["--check", *docs])
    command.main(docs)
    command.main(["--check", *docs])
    assert "parameters 1,000: +3.00 ± 1.00, 4,000: +5.00 ± 1.00 (2 seeds)" in text
    assert (tmp_path / "docs" / "paper.png").stat().st_size > 0

    command.main(["--commands", *docs])
    printed = capsys.readouterr().out
    assert "# digits: about 3 min on 2 cores, is there" in printed
    assert "--add runs/paper/mnist_noise --as mnist_noise" in printed


def test_the_command_refuses_half_of_an_addition(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main(["--add", str(tmp_path)])
    assert "go together" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="neither"):
        command.main(["--add", str(tmp_path), "--as", "x", "--docs", str(tmp_path)])
