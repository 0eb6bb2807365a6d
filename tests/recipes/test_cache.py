"""Decoded arrays on disk: read again, made anew when damaged, never a part of a file."""

import numpy as np
import pytest

from recipes.datasets import cache, prepared
from recipes.datasets.cache import cached

ARRAYS = {"x": np.arange(12, dtype=np.uint8).reshape(3, 4), "y": np.array([1, 2, 3], np.int32)}


@pytest.fixture
def built(tmp_path, monkeypatch):
    """How often the arrays were built; the cache is a folder that is not there yet."""
    monkeypatch.setenv("KERAS_SAM_CACHE", str(tmp_path / "deep" / "cache"))
    count = []

    def build():
        count.append(1)
        return ARRAYS

    def read():
        found = cached("squares", ("x", "y"), build)
        assert found.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
        return len(count)

    read.file = tmp_path / "deep" / "cache" / "squares.npz"
    return read


def test_arrays_are_built_once(built):
    assert [built(), built(), built()] == [1, 1, 1]
    assert [path.name for path in built.file.parent.iterdir()] == ["squares.npz"]


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_made_anew(built, part):
    built()
    content = built.file.read_bytes()
    built.file.write_bytes(content[: int(part * len(content))])
    assert [built(), built()] == [2, 2]
    assert built.file.read_bytes() == content


def test_a_changed_byte_is_seen(built):
    built()
    content = built.file.read_bytes()
    at = content.index(ARRAYS["x"].tobytes()) + 5
    built.file.write_bytes(content[:at] + b"\xff" + content[at + 1 :])
    assert [built(), built()] == [2, 2]


def test_a_file_of_other_arrays_is_made_anew(built):
    built.file.parent.mkdir(parents=True)
    np.savez(built.file, x=ARRAYS["x"])
    assert built() == 1
    np.savez(built.file, x=np.array([{}], object), y=ARRAYS["y"])  # NumPy would unpickle.
    assert built() == 2


def test_a_crash_while_writing_leaves_the_old_file(built, monkeypatch):
    built()
    built.file.write_bytes(b"damaged")

    def crash(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("recipes.files.os.replace", crash)
    with pytest.raises(KeyboardInterrupt):
        built()
    assert built.file.read_bytes() == b"damaged"
    monkeypatch.undo()


def test_a_folder_that_cannot_be_written_is_a_warning(built, monkeypatch):
    built.file.parent.parent.mkdir()
    built.file.parent.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="cannot be kept .*KERAS_SAM_CACHE"):
        assert built() == 1


def test_the_folder_is_the_users_own_by_default(monkeypatch):
    monkeypatch.delenv("KERAS_SAM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.folder().name == "keras_sam"
    monkeypatch.setenv("KERAS_SAM_CACHE", "/elsewhere")
    assert str(cache.folder()) == "/elsewhere"


def test_datasets_are_decoded_once(tmp_path, monkeypatch):
    decoded = []

    def decode(name, download):
        decoded.append(name)
        images, targets = np.zeros((4, 2, 2, 1), np.uint8), np.arange(4, dtype=np.int32)
        return {
            f"{split}_{part}": array
            for split in ("train", "test")
            for part, array in (("image", images), ("label", targets))
        }

    monkeypatch.setattr(prepared, "_decoded", decode)
    for folder in ("a", "a", "b"):
        monkeypatch.setenv("KERAS_SAM_CACHE", str(tmp_path / folder))
        prepared._loaded.cache_clear()  # As in a new process.
        (_, labels), (images, _) = prepared.load_arrays("tiny", download=False)
        assert (images.shape, labels.tolist()) == ((4, 2, 2, 1), [0, 1, 2, 3])
    assert decoded == ["tiny", "tiny"]
    prepared._loaded.cache_clear()
