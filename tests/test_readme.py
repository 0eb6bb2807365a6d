"""The README's examples run, one after the other as a reader would try them."""

import pathlib
import re

README = pathlib.Path(__file__).parents[1] / "README.md"


def test_python_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # They save files.
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 4
    names = {}
    for block in blocks:
        exec(compile(block, README.name, "exec"), names)
    assert (tmp_path / "net.keras").exists()
    assert "val_accuracy" in capsys.readouterr().out
