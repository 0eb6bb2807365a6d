"""What a study has found, from its records alone: table, rule, figure, files."""

from __future__ import annotations

from collections.abc import Sequence

from recipes.files import write_atomically
from recipes.reporting.comparison import Comparison
from recipes.reporting.figures import draw, size_figure
from recipes.reporting.table import table, to_csv, to_json
from tuning.hparams import write_hparams
from tuning.rho_rule import RhoRule, fit_rho_rule
from tuning.study import Study


def write_report(study: Study, report: str = "selected") -> str:
    """Writes the table, the figure and the rule to the study's folder.

    Args:
        study: The study; it need not be finished.
        report: Which epoch's test accuracy counts, see `recipes.comparison.comparisons`.
            Defaults to "selected".

    Returns:
        The text to show: the table, what is to be said of it, and the files.

    Raises:
        ValueError: If there are no records yet.
    """
    found = study.comparisons(report)
    if not found:
        raise ValueError(f"There are no records of this study. Received: `folder={study.folder}`")
    rule = rho_rule(found)
    lines = [table(found)]
    if rule is not None:
        lines.append(f"Rule: {rule}.")
        rule.save(study.folder / "rho_rule.json")
    text = "\n".join(lines) + "\n"
    for name, content in (("md", text), ("csv", to_csv(found)), ("json", to_json(found))):
        write_atomically(study.folder / f"table.{name}", content.encode())
    if len(found) > 1:
        drawn = size_figure(found, rule, report)
        drawn.savefig(study.folder / "size.png", dpi=150)
    else:
        draw(found, study.folder, report)
    write_hparams(study.records(), study.folder / "tensorboard")
    return f"{text}\nTable, figure and records: {study.folder}"


def rho_rule(found: Sequence[Comparison]) -> RhoRule | None:
    """The fitted rule, `None` where there are too few sizes for one."""
    if len({c.parameters for c in found if c.best is not None}) < 3:
        return None
    return fit_rho_rule(found)
