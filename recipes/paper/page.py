"""The page: a function of the claims and the studies, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from recipes.paper.planned import PLANNED, Planned
from recipes.paper.row import VERDICTS, Row
from recipes.paper.rows import ROWS, SECTIONS, TRIED
from recipes.paper.rules import LEAST_POINTS, LEAST_SEEDS, RISK
from recipes.paper.study import Study

FIGURE = "paper.png"
_MARKS = {1: "shown", 0: "not shown", -1: "**the opposite is shown**"}
_HEAD = ("claim", "the paper's number", "ours", "command", "hardware, time", "verdict")


def page(studies: Mapping[str, Study]) -> str:
    """All of `docs/paper.md`."""
    parts = [_intro(studies), _glance(studies)]
    for title, rows in SECTIONS.items():
        lines = [f"| {' | '.join(_HEAD)} |", f"|{'---|' * len(_HEAD)}"]
        lines += [f"| {' | '.join(map(_cell, cells(row, studies)))} |" for row in rows]
        parts.append(f"## {title}\n\n" + "\n".join(lines))
    parts.append("## Tried, and failed or withdrawn\n\n" + "\n".join(f"- {text}" for text in TRIED))
    parts.append(_studies(studies))
    return "\n\n".join(parts) + "\n"


def cells(row: Row, studies: Mapping[str, Study]) -> tuple[str, ...]:
    """A row of the page, under `claim, the paper's number, ours, command, ...`."""
    names = list(dict.fromkeys(check.study for check in row.checks))
    there = [name for name in names if name in studies]
    lines, before = [], set()
    for check, finding, numbers in row.judged(studies):
        if finding is not None:
            told = "same numbers" if numbers in before else numbers
            lines.append(f"{_MARKS[finding.holds]}: {check.says}: {told}; {finding.reason}")
            before.add(numbers)
        elif check.study in studies:
            lines.append(f"no records yet: {check.says}")
    # Of a study that is not there one line is enough.
    absent = [name for name in names if name not in studies]
    lines += [f"no records yet of {', '.join(f'`{name}`' for name in absent)}"] if absent else []
    lines += [f"*{row.note}*"] if row.note else []
    links = [f"[`{name}`](#{name})" for name in there]
    links += [f"`{name}`: {_plan(name)}" for name in absent if name in _BY_NAME]
    links += [row.unaffordable] if row.unaffordable and not there else []
    times = [_place(studies[name]) for name in there]
    return (
        f"**{row.place}**: {row.claim}",
        row.paper,
        "<br>".join(lines) or "-",
        "<br>".join(links) or "none yet",
        "<br>".join(times) or "-",
        f"**{row.verdict(studies)}**",
    )


def _intro(studies: Mapping[str, Study]) -> str:
    counts = Counter(row.verdict(studies) for row in ROWS)
    told = ", ".join(f"{counts[word]} {word}" for word in VERDICTS if counts[word])
    return f"""# The paper, claim by claim, with our numbers

What [Critical Influence of Overparameterization on Sharpness-aware
Minimization](https://arxiv.org/abs/2311.17539) claims, and what its readers ask, beside what this
package measured. {len(ROWS)} rows: {told}.

This page is made from the records in [results/](results/) by `python -m recipes.paper`; a test
fails where the two disagree. Verdicts are applied by code:

- Each row has checks: what must be seen if the claim is true. A **trend** is Spearman's rank
  correlation over all points (size by seed), shown where its two-sided p-value is below
  {RISK:g} (of {LEAST_POINTS} points at least). A **mean** over seeds, as a gain, paired by seed, is
  shown where its 95 % t-interval leaves out 0 ({LEAST_SEEDS} seeds at least); of several sizes the
  largest counts; or where the interval lies within limits that the row names. A
  **theorem** is shown where no number breaks it. (Points of one seed share their data, so that the
  p-value of a trend is approximate; there are many checks, and one in twenty may err.)
- **agrees**: all checks are shown; **agrees in part**: some; **does not show**: none, nor an
  opposite; **disagrees**: none, and the opposite of one at least; **not affordable here**,
  **open**: none could be made. A check without records counts as not shown.
- ± is the standard error over seeds. Gains are SAM's test metric less the plain optimizer's, in
  points where it is in percent; rho and epoch are selected on validation data unless the row says
  otherwise. The paper's numbers are read off its plots, ± 0.02. Every seed has its own initial
  weights, batches and splits. Times are by the clock, on machines that others may have used too.

![gain against the number of weights, the paper's beside ours]({FIGURE})"""


def _glance(studies: Mapping[str, Study]) -> str:
    rows = [["claim", "verdict"]]
    for title, some in SECTIONS.items():
        rows.append([f"**[{title}](#{title.lower().replace(' ', '-')})**", ""])
        rows += [[f"{row.place}: {row.claim}", row.verdict(studies)] for row in some]
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join(["## At a glance\n", lines[0], "|---|---|", *lines[1:]])


def _studies(studies: Mapping[str, Study]) -> str:
    parts = [
        "## The studies\n\nTo make one again, or one that is missing: "
        "`python -m recipes.paper --commands`."
    ]
    for name, study in studies.items():
        entry = study.entries[0]
        versions = ", ".join(
            f"{key} {entry[f'environment.{key}']}"
            for key in ("python", "keras", "numpy", "scipy", "backend", "backend_version")
            if entry.get(f"environment.{key}")
        )
        missing = f"; {study.missing} runs of these commands are missing" if study.missing else ""
        lines = [
            f"### {name}\n",
            f"{len(study.entries)} results, {_place(study)} ({versions}){missing}: "
            f"[results/{name}.json](results/{name}.json)\n",
            "```bash",
            *study.commands,
            "```",
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _plan(name: str) -> str:
    planned = _BY_NAME[name]
    more = f" and {len(planned.commands) - 1} more" if len(planned.commands) > 1 else ""
    return f"`{planned.commands[0]}`{more}, about {planned.minutes:g} min on 2 cores"


def _place(study: Study) -> str:
    """How long all took together, where that is known, and where."""
    device = " and ".join(study.devices)
    return f"{_duration(study.seconds)}, {device}" if study.seconds else device


def _duration(seconds: float) -> str:
    """Seconds as a reader says it.

    Example:

    >>> _duration(12.3), _duration(600), _duration(9000)
    ('12 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _by_name(planned: Sequence[Planned]) -> dict[str, Planned]:
    return {one.name: one for one in planned}


_BY_NAME = _by_name(PLANNED)
