"""The commands for an accelerator, as small as they can be on a CPU."""

import io
import json

import keras
import numpy as np
import pytest
from PIL import Image

from recipes.datasets.cache import VARIABLE
from tests.benchmarks import accelerator, accelerator_data
from tests.python_process import output

RNG = np.random.default_rng(0)


def write_pack(path, examples=40):
    """A pack of a few images, as PNG, and their arrays."""
    import lzma

    parts, arrays = {}, {}
    for split in accelerator_data.SPLITS:
        images = RNG.integers(256, size=(examples, 32, 32, 3)).astype("uint8")
        encoded = []
        for image in images:
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            encoded.append(buffer.getvalue())
        parts[f"{split}_bytes"] = np.frombuffer(b"".join(encoded), np.uint8)
        parts[f"{split}_sizes"] = np.array([len(one) for one in encoded], np.int32)
        parts[f"{split}_label"] = np.arange(examples, dtype=np.int32) % 10
        arrays |= {f"{split}_image": images, f"{split}_label": parts[f"{split}_label"]}
    buffer = io.BytesIO()
    np.savez(buffer, **parts)
    path.write_bytes(lzma.compress(buffer.getvalue(), preset=0))
    return arrays


def test_what_was_packed_comes_out(tmp_path):
    expected = write_pack(tmp_path / "pack", examples=3)
    found = accelerator_data.unpacked(tmp_path / "pack")
    assert set(found) == set(accelerator_data.NAMES)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_what_is_measured_is_kept_and_not_measured_again(tmp_path, capsys):
    seen = []
    args = accelerator.parse(["steps", "--quick"])

    def measured(group):
        seen.append(group["n"])
        if len(seen) == 2:
            raise accelerator.OutOfTimeError
        return {"found": group["n"] ** 2}

    file, groups = tmp_path / "file.jsonl", [{"n": n} for n in (3, 4, 5)]
    accelerator._one_after_the_other(file, groups, measured, args)
    assert "2 of 3 are left; the same command goes on." in capsys.readouterr().out
    with open(file, "a") as torn:
        torn.write('{"group": {"n"')
    with pytest.warns(UserWarning, match="file.jsonl"):
        accelerator._one_after_the_other(file, groups, measured, args)
    assert seen == [3, 4, 4, 5]
    assert "left" not in capsys.readouterr().out
    lines = file.read_text().splitlines()
    assert [json.loads(line)["found"] for line in (lines[0], *lines[2:])] == [9, 16, 25]


def test_the_time_is_over_inside_of_a_measurement(tmp_path):
    import time

    args = accelerator.parse(["steps", "--minutes", "0.001"])
    accelerator._one_after_the_other(tmp_path / "f", [{}], lambda group: time.sleep(60), args)
    assert not (tmp_path / "f").exists()


def command(what, folder, *arguments, **environment):
    flags = ["--quick", "--output", folder, "--backends", keras.backend.backend(), *arguments]
    return output("-m", "tests.benchmarks.accelerator", what, *flags, **environment)


@pytest.mark.slow
def test_steps_and_populations(tmp_path):
    out = command("steps", tmp_path)
    assert "ResNet-18/1" in out
    assert "bfloat16" in out
    assert command("steps", tmp_path, "--minutes", "0.001").count("ResNet-18/1") == 4
    out = command("population", tmp_path, "--precisions", "float32")
    assert out.count("| 8 | float32 | mnist/1 |") == 1
    assert "not timed" not in out


@pytest.mark.slow
def test_a_study_from_a_pack(tmp_path):
    write_pack(tmp_path / "pack", examples=80)
    data = ("--data", str(tmp_path / "pack"), "--take", "64")
    out = command("study", tmp_path, *data, **{VARIABLE: str(tmp_path / "cache")})
    lines = (tmp_path / "study" / "records.jsonl").read_text().splitlines()
    assert [json.loads(line)["config"]["rho"] for line in lines] == [0.0, 0.1]
    assert "|     1 |" in out
    assert (tmp_path / "cache" / "cifar10.npz").exists()
