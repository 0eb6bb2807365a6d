"""The command line of `recipes.paper`."""

from __future__ import annotations

import argparse
import io
import pathlib
import sys
from collections.abc import Sequence

from recipes import paper
from recipes.files import write_atomically
from recipes.running.flags import Parser
from recipes.running.interrupt import command

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def main(arguments: Sequence[str] | None = None) -> None:
    """Adds a study, says what is missing, or makes the page."""
    parser = Parser(
        prog="python -m recipes.paper",
        description=paper.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--add",
        type=pathlib.Path,
        nargs="+",
        metavar="FOLDER",
        help="keep what was recorded below these folders, or in a file of step times, and make the "
        "page anew",
    )
    parser.add_argument("--as", dest="name", help="the study's name, one of --commands or new")
    parser.add_argument(
        "--command",
        action="append",
        help="command line of an experiment's results, if it is not that of --commands",
    )
    parser.add_argument(
        "--commands",
        action="store_true",
        help="print how to make the studies, as a shell script of those that are not there",
    )
    parser.add_argument(
        "--check", action="store_true", help="exit 1 if the page is not that of the records"
    )
    parser.add_argument(
        "--docs", type=pathlib.Path, default=DOCS, help="folder of results/ and paper.md"
    )
    parsed = parser.parse_args(arguments)
    if bool(parsed.add) != bool(parsed.name):
        parser.error("--add and --as go together")

    with command("Stopped."):
        if parsed.commands:
            _print_commands(parsed.docs)
        elif parsed.add:
            _add(parsed.add, parsed.name, parsed.command or (), parsed.docs)
            _make(parsed.docs)
        elif parsed.check:
            _check(parsed.docs)
        else:
            _make(parsed.docs)


def _print_commands(docs: pathlib.Path) -> None:
    from recipes.paper.planned import PLANNED

    for planned in PLANNED:
        there = (docs / "results" / f"{planned.name}.json").exists()
        known, mark = (", is there", "# ") if there else ("", "")
        print(f"# {planned.name}: about {planned.minutes:g} min on 2 cores{known}")
        print("\n".join(mark + line for line in planned.lines()) + "\n")


def _add(
    folders: Sequence[pathlib.Path], name: str, commands: Sequence[str], docs: pathlib.Path
) -> None:
    from recipes.paper.adding import add
    from recipes.paper.planned import PLANNED

    planned = {one.name: one.commands for one in PLANNED}
    study = add(name, folders, commands or planned.get(name, ()))
    path = study.write(docs / "results")
    print(f"{path}: {len(study.entries)} results, {path.stat().st_size:,} bytes")
    for line in study.commands:
        print(f"  {line}")
    if study.missing:
        print(f"  {study.missing} of these runs are missing.")


def _check(docs: pathlib.Path) -> None:
    from recipes.paper.page import page
    from recipes.paper.study import read_studies

    path = docs / "paper.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if text != page(read_studies(docs / "results")):
        sys.exit(f"{path} is not what its records say: `python -m recipes.paper` makes it anew.")


def _make(docs: pathlib.Path) -> None:
    from recipes.paper.figure import figure
    from recipes.paper.page import FIGURE, page
    from recipes.paper.study import read_studies
    from recipes.paper.summary import with_table

    studies = read_studies(docs / "results")
    write_atomically(docs / "paper.md", page(studies).encode())
    readme = docs.parent / "README.md"
    if readme.exists():
        text = with_table(readme.read_text(encoding="utf-8"), studies)
        write_atomically(readme, text.encode())
    image = io.BytesIO()
    figure(studies).savefig(image, dpi=110, facecolor="white")
    write_atomically(docs / FIGURE, image.getvalue())
    print(docs / "paper.md", docs / FIGURE, sep="\n")


if __name__ == "__main__":
    main()
