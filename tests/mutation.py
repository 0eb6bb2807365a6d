"""Random single changes of code, and whether tests notice: `python -m tests.mutation --count 20`.

Each mutant is one change in one file: an operator, a comparison, a constant, a condition, a
statement that is left out. It is made in a copy of the working tree, where the tests that belong to
the file run until one fails or time is up. What survives is printed as a diff: it wants a test, or
changes nothing that can be seen. The same seed draws the same mutants of the same code.
"""

import argparse
import ast
import copy
import dataclasses
import difflib
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).parents[1]
# The files that carry the promises, and the tests that belong to them.
TESTS = {
    "keras_sam/sam_gradient.py": (
        "tests/keras_sam/methods/test_passes.py",
        "tests/keras_sam/methods/test_identities.py",
        "tests/keras_sam/methods/test_ascent_log.py",
        "tests/keras_sam/test_contract.py",
    ),
    "keras_sam/perturbation.py": ("tests/keras_sam/test_perturbation.py",),
    "keras_sam/vectors.py": (
        "tests/keras_sam/test_perturbation.py",
        "tests/keras_sam/methods/test_rules.py",
    ),
    "keras_sam/m_sharpness.py": (
        "tests/keras_sam/test_splits.py",
        "tests/keras_sam/test_bad_input.py",
        "tests/keras_sam/test_contract.py",
    ),
    "keras_sam/weighted_mean.py": ("tests/keras_sam/test_splits.py",),
    "keras_sam/loss_count.py": ("tests/keras_sam/test_splits.py",),
    "keras_sam/loss_scale.py": ("tests/keras_sam/test_mixed_precision.py",),
    "keras_sam/methods/rules.py": (
        "tests/keras_sam/methods/test_passes.py",
        "tests/keras_sam/methods/test_rules.py",
        "tests/keras_sam/methods/test_trajectories.py",
    ),
    "keras_sam/methods/layerwise.py": ("tests/keras_sam/test_perturbation.py",),
}
OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change: the file, the line, and the file's text with it."""

    path: str
    line: int
    text: str

    def diff(self) -> str:
        """The change, against the text that Python itself would write for the file."""
        before = ast.unparse(ast.parse((ROOT / self.path).read_text())).splitlines()
        lines = difflib.unified_diff(before, self.text.splitlines(), lineterm="", n=1)
        return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def mutants(path: str, text: str) -> list[Mutant]:
    """All mutants of a file.

    Args:
        path: Its path in the repository.
        text: Its code.
    """
    count = len(list(_changes(ast.parse(text))))
    found = []
    for index in range(count):
        tree = ast.parse(text)
        line, change = list(_changes(tree))[index]
        change()
        found.append(Mutant(path, line, ast.unparse(tree)))
    return found


def _changes(tree: ast.AST) -> Iterator[tuple[int, Callable[[], None]]]:
    """The line of each possible change, and what makes it in the tree."""
    for node in _code(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in OPERATORS:
            yield line, _setter(node, "op", OPERATORS[type(node.op)]())
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
            yield line, _setter(node, "ops", [OPERATORS[type(node.ops[0])](), *node.ops[1:]])
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            yield line, _setter(node, "op", ast.UAdd() if isinstance(node.op, ast.USub) else None)
        elif isinstance(node, ast.Constant) and type(node.value) in (bool, int, float):
            new = not node.value if isinstance(node.value, bool) else node.value + 1
            yield line, _setter(node, "value", new)
        elif isinstance(node, ast.If | ast.IfExp):
            yield line, _setter(node, "test", ast.UnaryOp(ast.Not(), copy.copy(node.test)))
        if isinstance(node, ast.FunctionDef | ast.For | ast.If):
            for place, statement in enumerate(node.body):
                if isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr) and not _is_text(
                    statement
                ):
                    yield statement.lineno, _dropper(node.body, place)


def _code(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of the code that runs: no annotations, no messages of errors."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns") or isinstance(tree, ast.Raise):
            continue
        for node in value if isinstance(value, list) else [value]:
            if isinstance(node, ast.AST):
                yield node
                yield from _code(node)


def _is_text(statement: ast.stmt) -> bool:
    value = getattr(statement, "value", None)
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _setter(node: ast.AST, field: str, value: object) -> Callable[[], None]:
    def change() -> None:
        if value is None:  # `not x` becomes `not not x`.
            node.operand = ast.UnaryOp(ast.Not(), node.operand)  # type: ignore[attr-defined]
        else:
            setattr(node, field, value)

    return change


def _dropper(body: list[ast.stmt], place: int) -> Callable[[], None]:
    return lambda: body.__setitem__(place, ast.Pass())


def is_noticed(
    mutant: Mutant, tests: tuple[str, ...], seconds: float, folder: pathlib.Path
) -> bool:
    """Whether a test fails, or does not end in time, in a copy of the tree with the mutant."""
    file = folder / mutant.path
    original = file.read_text()
    file.write_text(mutant.text)
    command = [sys.executable, "-m", "pytest", "-q", "-x", *tests]
    try:
        run = subprocess.run(
            command,
            cwd=folder,
            timeout=seconds,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        return run.returncode == 1
    except subprocess.TimeoutExpired:
        return True
    finally:
        file.write_text(original)


def main() -> int:
    """Draws mutants, runs the tests of their files, and prints those that survive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20, help="how many mutants")
    parser.add_argument("--seed", type=int, default=0, help="fixes which")
    parser.add_argument("--seconds", type=float, default=300.0, help="for the tests of each")
    parser.add_argument("files", nargs="*", default=list(TESTS), help="of those that have tests")
    arguments = parser.parse_args()
    every = [m for path in arguments.files for m in mutants(path, (ROOT / path).read_text())]
    chosen = random.Random(arguments.seed).sample(every, min(arguments.count, len(every)))
    survivors = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "tree"
        ignored = shutil.ignore_patterns(".git", "runs", "__pycache__", ".venv", "*.egg-info")
        shutil.copytree(ROOT, folder, ignore=ignored, symlinks=True)
        for number, mutant in enumerate(chosen, 1):
            noticed = is_noticed(mutant, TESTS[mutant.path], arguments.seconds, folder)
            outcome = "noticed" if noticed else "SURVIVED"
            print(f"{number}/{len(chosen)} {mutant.path}:{mutant.line} {outcome}", flush=True)
            if not noticed:
                survivors.append(mutant)
                print(mutant.diff(), flush=True)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants were noticed.")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
