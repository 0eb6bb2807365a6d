"""The benchmark of populations, at its smallest."""

import pytest

from tests.benchmarks import population


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits/0.02", "resnet18/1"])
def test_a_row_of_the_table(name):
    line = population.row(name, "tensorflow", members=2, rounds=1, blocks=1)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[0] == name
    assert cells[2:4] == ["tensorflow", "2"]
    assert all(float(cell.split()[0]) > 0 for cell in cells[4:8])
    assert len(cells) == population.HEADER.splitlines()[0].count("|") - 1


@pytest.mark.slow
def test_a_row_of_runs():
    line = population.row_of_runs("digits/0.02", "tensorflow", members=5, rounds=1, epochs=2)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:1] + cells[2:4] == ["digits/0.02", "tensorflow", "5"]
    assert [len(cells[4].split()), len(cells[5].split())] == [2, 2]
    assert len(cells) == population.HEADER.splitlines()[0].count("|") - 1


def test_what_cannot_be_timed_says_why(monkeypatch):
    def fail(variant, wait):
        raise population.WorkerError("no device")

    monkeypatch.setattr(population, "WorkerProcess", fail)
    for row in (population.row, population.row_of_runs):
        assert "not timed: no device" in row("digits/0.1", "jax", 2, 1, 1)
