"""Figures and a table from records alone: `python -m recipes.figures runs/digits`.

Reads every record below the folder, prints their table and writes `size.png` (SGD and SAM against
the number of parameters), and `sparsity.png` and `label_noise.png` where records differ in those.
Bars are standard errors over seeds; those of a gain are of the paired gain. Takes seconds.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from recipes.reporting.comparison import REPORTS, comparisons
from recipes.running.flags import Parser
from recipes.running.interrupt import command
from recipes.running.records import read_records


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table of a folder's records and draws its figures."""
    parser = Parser(
        prog="python -m recipes.figures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=pathlib.Path, help="folder with records, at any depth")
    parser.add_argument(
        "--report",
        choices=REPORTS,
        default="selected",
        help="epoch whose test accuracy counts: best on validation, last, or best on test "
        "as the paper's code does (default: selected)",
    )
    parser.add_argument("--output", type=pathlib.Path, help="folder to draw in (default: FOLDER)")
    parsed = parser.parse_args(arguments)

    # Only now: `--help` need not wait for Matplotlib and SciPy.
    from recipes.reporting.figures import draw
    from recipes.reporting.table import table

    with command("Stopped."):
        found = comparisons(read_records(parsed.folder), parsed.report)
        if not found:
            parser.error(f"there are no records below {parsed.folder}")
        print(table(found))
        for path in draw(found, parsed.output or parsed.folder, parsed.report):
            print(path)


if __name__ == "__main__":
    main()
