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


def test_what_cannot_be_timed_says_why(monkeypatch):
    def fail(variant, wait):
        raise population.WorkerError("no device")

    monkeypatch.setattr(population, "WorkerProcess", fail)
    assert "not timed: no device" in population.row("digits/0.1", "jax", 2, 1, 1)
