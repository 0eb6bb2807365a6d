"""A finished run in a few lines of text."""

from __future__ import annotations

from recipes.reporting.titles import optimizer, subject
from recipes.running.records import DIVERGED, Record


def summary(record: Record) -> str:
    """What a person wants to know of a run when it ends."""
    config = record.config
    plain = f"{optimizer(config)} (rho 0)"
    method = f"SAM, rho {config.rho:g}" if config.rho > 0 else plain
    metric = record.metric
    kept = record.kept_parameters
    size = f"{record.parameters:,} parameters"
    if kept != record.parameters:
        size += f", {kept:,} kept"
    lines = [
        f"{subject(config)} of width {config.width:g} ({size}), {method}, "
        f"seed {config.seed}: {len(record.curves['loss'])} epochs in {record.seconds:.1f} s "
        f"on {record.environment['device']}"
    ]
    if record.status == DIVERGED:
        lines.append("The training loss is no longer finite: the run diverged.")
        return "\n".join(lines)
    for title, metrics in [
        ("best epoch on validation", record.selected),
        ("last epoch", record.last),
        ("best epoch on test (as the paper reports)", record.best_test),
    ]:
        lines.append(
            f"  {title + ',':<43}{metrics['epoch']:>4}: "
            f"test {metric.title} {metrics[f'test_{metric.name}']:.4f}, "
            f"validation {metric.title} {metrics[f'val_{metric.name}']:.4f}"
        )
    lines.append(f"  training loss at the end: {record.train['loss']:.4g}")
    return "\n".join(lines)
