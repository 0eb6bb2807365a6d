"""Everyday trouble with files: one sentence that names the file, and state survives."""

import errno
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from recipes import files
from recipes.files import append_line, read_lines, write_atomically
from recipes.running import interrupt
from recipes.running.checkpoint import Checkpoint
from recipes.running.records import append_record, read_records
from tests.recipes.test_records import make_record


@pytest.fixture
def full_disk(monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fsync)


def test_a_full_disk_leaves_the_old_content_and_names_the_file(tmp_path, full_disk, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    for write in (lambda: write_atomically(path, b"new"), lambda: append_line(path, "line")):
        with pytest.raises(OSError, match="No space left") as error:
            write()
        assert error.value.filename == str(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes().startswith(b"old")


def test_a_command_ends_with_one_line(tmp_path, full_disk, capsys):
    path = tmp_path / "file"
    full = pytest.raises(SystemExit, match=rf"{path}: No space left on device.*goes on")
    with full, interrupt.command("Stopped."):
        write_atomically(path, b"new")
    (tmp_path / "a file").write_text("")
    with pytest.raises(SystemExit, match="a file.*goes on"), interrupt.command("Stopped."):
        (tmp_path / "a file" / "folder").mkdir(parents=True)
    with pytest.raises(SystemExit, match="no recipe"), interrupt.command("Stopped."):
        raise ValueError("no recipe")
    with pytest.raises(KeyError), interrupt.command("Stopped."):  # A fault of ours shows itself.
        raise KeyError("a fault")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_batch_systems_end_a_command_as_ctrl_c_does(name, tmp_path):
    code = (
        "import pathlib, signal, time\n"
        "from recipes.running.interrupt import command\n"
        # Shells start what they put into the background with SIGINT ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with command('Stopped. The same command goes on.'):\n"
        f"    pathlib.Path({str(tmp_path / 'begun')!r}).write_text('')\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(getattr(signal, name))
    _, output = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output == "Stopped. The same command goes on.\n"


def test_odd_json_never_blocks_a_folder(tmp_path):
    path = tmp_path / "records.jsonl"
    good = make_record()
    append_record(path, good)
    data = json.loads(good.to_json())
    odd = [
        "[]", "3", "null", '"text"', "{}", '{"config": null}', "[" * 5000, "\x00",
        json.dumps({**data, "curves": 3}), json.dumps({**data, "config": [1]}),
        json.dumps({**data, "metric": 7}), json.dumps({**data, "selected": None}),
        json.dumps({**data, "config": {**data["config"], "epochs": 1e999}}),
    ]  # fmt: skip
    for line in odd:
        append_line(path, line)
    other = make_record(seed=1)
    append_record(path, other)
    with pytest.warns(UserWarning, match="is no record"):
        assert read_records(path) == [good, other]


def test_lines_that_are_not_utf8_are_skipped(tmp_path):
    (tmp_path / "lines").write_bytes(b"1\n\xff\xfe\n2\n")
    with pytest.warns(UserWarning, match="line 2"):
        assert read_lines(tmp_path / "lines", int) == [1, 2]


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", b"\x80\x04K\x01.", None])
def test_a_damaged_checkpoint_says_what_to_do_and_never_mentions_pickles(tmp_path, content):
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz")
    checkpoint.save([], {"epoch": 1}, {"numbers": np.arange(1000)})
    whole = checkpoint.path.read_bytes()
    checkpoint.path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    for read in (checkpoint.progress, lambda: checkpoint.restore([])):
        with pytest.raises(ValueError, match="is damaged; remove it to start") as error:
            read()
        assert "pickle" not in str(error.value)


def test_what_killed_writers_left_is_removed(tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz")
    checkpoint.save([], {"epoch": 1})
    (tmp_path / ".checkpoint.npz.123").write_bytes(b"half")
    checkpoint.clean()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]
    (tmp_path / ".checkpoint.npz.123").write_bytes(b"half")
    checkpoint.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_state_of_arrays_and_plain_data_comes_back(tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz")
    checkpoint.save([], {"epoch": 1}, {"steps": np.arange(3.0), "count": 2, "names": ["a"]})
    state = checkpoint.restore([])
    np.testing.assert_array_equal(state.pop("steps"), [0.0, 1.0, 2.0])
    assert state == {"count": 2, "names": ["a"]}


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError) as error:
        write_atomically(tmp_path / "deep" / "file", b"")
    assert pathlib.Path(error.value.filename).parent == tmp_path
