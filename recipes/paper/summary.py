"""The summary as a table: of each workload the smallest and the largest network."""

from __future__ import annotations

import math
from collections.abc import Mapping

from recipes.paper.panels import PANELS, Panel
from recipes.paper.rows_size import short
from recipes.paper.sample import Sample, shown
from recipes.paper.study import Study

START = "<!-- This table is made by `python -m recipes.paper`. -->"
END = "<!-- Its end. -->"


def table(studies: Mapping[str, Study]) -> str:
    """A row a workload, as Markdown: the gain on the smallest and on the largest network."""
    rows: list[tuple[str, ...]] = [
        ("workload", "the paper's gain", "ours", "seeds"),
        ("---", "---", "---", "---"),
    ]
    for panel in PANELS:
        samples = panel.samples(studies)
        rows += [_row(panel, label, sample) for label, sample in samples.items()]
        if not samples and panel.paper is not None:
            rows.append((_name(panel), _reported(panel), "not run", ""))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def with_table(text: str, studies: Mapping[str, Study]) -> str:
    """A text with the table between its marks; one without marks as it is.

    Example:

    >>> with_table("no marks", {})
    'no marks'
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    return f"{before}{START}\n\n{table(studies)}\n\n{END}{after}" if start and end else text


def _row(panel: Panel, label: str, sample: Sample) -> tuple[str, ...]:
    more = label.removeprefix("ours").removeprefix(", ")
    ends = list(sample.by_x.items())
    ends = [ends[0], ends[-1]] if len(ends) > 1 else ends
    ours = " → ".join(f"{shown(ys, panel.form)} ({short(x)})" for x, ys in ends)
    counts = sorted({len(ys) for _, ys in ends})
    name = f"{_name(panel)}, {more}" if more else _name(panel)
    return name, _reported(panel), ours, " to ".join(map(str, counts))


def _name(panel: Panel) -> str:
    unit = panel.ylabel.removeprefix("gain, ")
    return panel.title if unit == "points" else f"{panel.title} ({unit})"


def _reported(panel: Panel) -> str:
    if panel.paper is None:
        return "-"
    pairs = list(zip(panel.paper.parameters, panel.paper.gains, strict=True))
    known = [(size, gain) for size, gain in pairs if not math.isnan(size)]
    return " → ".join(
        f"{gain:{panel.form}} ({short(size)})" for size, gain in (known[0], known[-1])
    )
