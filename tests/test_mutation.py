"""The mutation script: what it changes, and that a change is noticed or not."""

import pathlib

from tests import mutation

CODE = '''
def f(x, flag: int = 1):
    """Text 1."""
    y = x + 2
    if not flag and x < 3:
        raise ValueError(f"no {x + 1}")
    return y
'''


def test_every_change_is_one_change():
    changed = mutation.mutants("f.py", CODE)
    lines = {line for m in changed for line in m.text.splitlines()}
    assert {
        "    y = x - 2",
        "    y = x + 3",
        "    pass",
        "    if not flag or x < 3:",
        "    if not flag and x <= 3:",
        "    if not flag and x < 4:",
        "    if not not flag and x < 3:",
        "    if not (not flag and x < 3):",
        "def f(x, flag: int=2):",
    } <= lines
    assert len(changed) == len({m.text for m in changed}) == 9
    assert not [line for line in lines if "x - 1" in line or "Text 2" in line]


def test_what_is_drawn_has_tests_that_exist():
    for path, tests in mutation.TESTS.items():
        assert (mutation.ROOT / path).exists()
        assert [test for test in tests if not (mutation.ROOT / test).exists()] == []


def test_a_change_that_a_test_sees_is_noticed(tmp_path: pathlib.Path):
    (tmp_path / "f.py").write_text("def f():\n    return 1\n")
    (tmp_path / "test_f.py").write_text("from f import f\n\ndef test_f():\n    assert f() < 3\n")
    two, three = (mutation.Mutant("f.py", 2, f"def f():\n    return {n}\n") for n in (2, 3))
    assert not mutation.is_noticed(two, ("test_f.py",), 60, tmp_path)
    assert mutation.is_noticed(three, ("test_f.py",), 60, tmp_path)
    assert "return 1" in (tmp_path / "f.py").read_text()
