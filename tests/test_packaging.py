"""What is imported is declared: a dependency of a dependency may go away."""

import ast
import configparser
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("keras_sam", "recipes", "tuning")
IMPORTED_AS = {"scikit-learn": "sklearn"}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_one_version_everywhere():
    from importlib.metadata import version

    import keras_sam

    assert keras_sam.__version__ == version("keras_sam")
    assert f"\n## {keras_sam.__version__}\n" in (ROOT / "CHANGELOG.md").read_text()
    assert f"\nversion: {keras_sam.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def requirements(*extras):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    texts = [setup["options.extras_require"][extra] for extra in extras]
    return "\n".join([setup["options"]["install_requires"], *texts]).split("\n")


def test_every_import_is_declared():
    names = re.findall(r"^[A-Za-z_-]+", "\n".join(requirements("jax", "torch", "rl")), re.MULTILINE)
    declared = {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}
    modules = {
        name.split(".")[0]
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for name in imported(path)
    }
    assert "keras_tuner" in modules
    assert modules - set(sys.stdlib_module_names) - set(PACKAGES) - declared == set()
