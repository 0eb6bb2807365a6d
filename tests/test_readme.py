"""Every example of README and guides runs when it alone is pasted into a new session.

A comment above a block, `<!-- needs NAME -->`, names a package that not everyone has, or a backend
that the block is for.
"""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:<!-- needs (\S+) -->\n+)?```python\n(.*?)```", re.DOTALL)
BACKENDS = ("jax", "tensorflow", "torch")


def blocks(page):
    return BLOCK.findall((ROOT / page).read_text())


def is_missing(need):
    if need in BACKENDS:
        return keras.backend.backend() != need
    return bool(need) and importlib.util.find_spec(need) is None


@pytest.mark.parametrize("page", sorted(page for page in PAGES if blocks(page)))
def test_python_examples_run(page, tmp_path, monkeypatch):
    for number, (need, block) in enumerate(blocks(page)):
        if is_missing(need):
            continue
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)  # They save files.
        if "tf.distribute" in block:  # A process has one strategy, and this one has its own.
            ours = {**os.environ, "PYTHONPATH": str(ROOT)}
            subprocess.run([sys.executable, "-c", block], env=ours, check=True)
            continue
        exec(compile(block, f"{page}, block {number}", "exec"), {"__name__": "pasted"})


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_examples_for_another_backend_run(backend, tmp_path):
    if not is_missing(backend) or importlib.util.find_spec(backend) is None:
        pytest.skip("it is this process's own, or not installed")
    ours = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    for page in PAGES:
        for need, block in blocks(page):
            if need == backend:
                subprocess.run([sys.executable, "-c", block], cwd=tmp_path, env=ours, check=True)


def test_every_guide_has_examples():
    guides = ["training", "choosing", "sparsity", "sharpness", "backends", "studies"]
    assert [guide for guide in guides if not blocks(f"docs/{guide}.md")] == []


@pytest.mark.parametrize("page", sorted(PAGES))
def test_links_lead_to_files(page):
    folder = (ROOT / page).parent
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / page).read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (folder / link).exists()] == []
