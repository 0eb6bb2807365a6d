"""The command line of `recipes.minima`."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from recipes import minima
from recipes.command_line import OUTPUT
from recipes.files import append_line, read_lines, write_atomically
from recipes.lock import locked
from recipes.minima.measure import measure
from recipes.minima.report import figure, table
from recipes.minima.result import Result
from recipes.minima.setting import DATASETS, Setting

QUICK = {"dataset": "digits", "width": 0.3, "train_size": 200, "batch_size": 50, "goal": 0.01}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what is not done yet, prints the table and draws the figure."""
    parser = _parser()
    parsed = vars(parser.parse_args(arguments))
    output, rhos, seeds = parsed.pop("output"), parsed.pop("rhos"), parsed.pop("seeds")
    if parsed.pop("quick"):
        parsed = {**QUICK, **parsed}
    try:
        settings = [
            Setting(**parsed, rho=rho, seed=seed) for seed in range(seeds) for rho in sorted(rhos)
        ]
    except ValueError as error:
        parser.error(str(error))
    if not settings:
        parser.error(f"`seeds` must be >= 1. Received: `seeds={seeds}`")

    folder = output / "minima"
    path = folder / "results.jsonl"
    try:
        with locked(folder):
            done = {result.setting: result for result in read_lines(path, Result.from_json)}
            for number, setting in enumerate(settings, start=1):
                if setting not in done:
                    result = done[setting] = measure(setting)
                    append_line(path, result.to_json())
                    print(f"{number}/{len(settings)}  {_line(result)}", flush=True)
            results = [done[setting] for setting in settings]
            text = table(results)
            write_atomically(folder / "minima.md", text.encode() + b"\n")
            figure(results).savefig(folder / "minima.png", dpi=150)
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command goes on with the run that it was at.")
    except (RuntimeError, ValueError) as error:
        sys.exit(str(error))
    print(text)
    print(folder / "minima.png")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recipes.minima",
        description=minima.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT, help="folder of runs")
    quick = ", ".join(f"{key} {value}" for key, value in QUICK.items())
    parser.add_argument("--quick", action="store_true", help=f"small and fast: {quick}")
    parser.add_argument(
        "--rhos",
        type=float,
        nargs="+",
        default=[0.0, 0.01, 0.03, 0.1, 0.3],
        help="radii; 0 is SGD (default: 0 0.01 0.03 0.1 0.3)",
    )
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    for field in dataclasses.fields(Setting):
        if field.name in ("rho", "seed"):
            continue
        flag = "--" + field.name.replace("_", "-")
        more: dict[str, Any] = {"type": type(field.default)}
        if isinstance(field.default, bool):
            more = {"action": argparse.BooleanOptionalAction}
        elif field.name == "dataset":
            more["choices"] = DATASETS
        parser.add_argument(
            flag, default=argparse.SUPPRESS, help=f"default: {field.default}", **more
        )
    return parser


def _line(result: Result) -> str:
    setting = result.setting
    text = f"rho {setting.rho:g}, seed {setting.seed}: {result.steps} steps, "
    if result.diverged:
        return text + f"diverged, {result.seconds} s"
    return (
        f"{text}loss {result.loss:.1e}, lambda_max {result.lambda_max:.2f} "
        f"(limit {setting.limit:.2f}), trace {result.trace:.0f}, s_2 {result.s_2:.1f}, "
        f"{result.seconds} s"
    )


if __name__ == "__main__":
    main()
