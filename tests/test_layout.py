"""Every import goes down, no two modules go in a circle, no file is long."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("keras_sam", "recipes", "tuning")

# From the bottom up; a module imports from its own floor and from those below it. What is in no
# floor is above all of them.
FLOORS = {
    "keras_sam": [
        ["backend", "validation", "vectors", "memory"],
        ["pass_scope", "loss_count", "loss_scale", "weighted_mean"],
        ["loss_function", "perturbation", "masks", "batches", "schedules", "selection"],
        ["methods"],
        ["sam_gradient", "m_sharpness"],
        ["training_step"],
        ["trainers"],
        ["masked", "wrapper", "arguments", "method_state"],
        ["with_method", "ascent_log"],
        ["sam_model"],
    ],
    "recipes": [["files", "seeding"], ["datasets", "networks"], ["running"], ["reporting"]],
    "tuning": [],
}
# A finished run is shown by the command that ran it.
ALLOWED = {("recipes.running.command_line", "recipes.reporting.summary")}


def modules() -> dict[str, pathlib.Path]:
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(name: str) -> set[str]:
    """The modules of ours that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else node.module)
    return {module for module in found if module in MODULES and module != name}


IMPORTS = {name: imports(name) for name in MODULES}


def floor(name: str) -> float:
    package, *rest = name.split(".")
    if not rest:  # What `import package` reads.
        return float("inf") if package == "keras_sam" else -1
    for index, rooms in enumerate(FLOORS[package]):
        if rest[0] in rooms:
            return index
    return float("inf")


def test_packages_import_one_way():
    below = {"tuning": {"tuning", "recipes", "keras_sam"}, "recipes": {"recipes", "keras_sam"}}
    for name, imported in IMPORTS.items():
        package = name.split(".")[0]
        allowed = below.get(package, {package})
        assert {module.split(".")[0] for module in imported} <= allowed, name


@pytest.mark.parametrize("package", PACKAGES)
def test_every_import_goes_down(package):
    rising = {
        (name, imported)
        for name in MODULES
        for imported in IMPORTS[name]
        if name.split(".")[0] == imported.split(".")[0] == package and floor(imported) > floor(name)
    }
    assert rising - ALLOWED == set()


def test_no_two_modules_go_in_a_circle():
    reached: dict[str, set[str]] = {}
    for name in MODULES:
        seen: set[str] = set()
        ahead = list(IMPORTS[name])
        while ahead:
            module = ahead.pop()
            if module not in seen:
                seen.add(module)
                ahead += IMPORTS[module]
        reached[name] = seen
    assert [name for name in MODULES if name in reached[name]] == []


def test_no_file_is_long():
    lines = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: count for name, count in lines.items() if count > 300} == {}


def test_the_rules_see_what_they_are_for():
    assert "recipes.running.records" in IMPORTS["recipes.reporting.comparison"]
    assert "keras_sam.backend" in IMPORTS["keras_sam.training_step"]
    assert "recipes.networks.mlp" in IMPORTS["recipes.networks"]
    assert floor("recipes.mnist") == float("inf") > floor("recipes.reporting.table")
