"""CIFAR-10 in one small file, for a machine that has no TensorFlow to read TFDS's with."""

import io
import lzma
from pathlib import Path
from typing import Any

import numpy as np

SPLITS = ("train", "test")
NAMES = tuple(f"{split}_{part}" for split in SPLITS for part in ("image", "label"))


def pack(file: Path) -> None:
    """Writes CIFAR-10 to one file, its images encoded as TFDS has them."""
    import tensorflow_datasets as tfds

    from recipes.datasets.prepared import prepared_builder

    builder = prepared_builder("cifar10", download=True)
    parts: dict[str, Any] = {}
    for split in SPLITS:
        decoders = {"image": tfds.decode.SkipDecoding()}
        rows = list(tfds.as_numpy(builder.as_dataset(split=split, decoders=decoders)))
        images = [row["image"] for row in rows]
        parts[f"{split}_bytes"] = np.frombuffer(b"".join(images), np.uint8)
        parts[f"{split}_sizes"] = np.array([len(image) for image in images], np.int32)
        parts[f"{split}_label"] = np.array([row["label"] for row in rows], np.int32)
    buffer = io.BytesIO()
    np.savez(buffer, **parts)
    file.write_bytes(lzma.compress(buffer.getvalue()))
    print(f"{file}: {file.stat().st_size / 2**20:.1f} MiB")


def unpacked(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a file that `pack` has written, by their names in the cache."""
    from PIL import Image

    arrays: dict[str, np.ndarray] = {}
    with np.load(io.BytesIO(lzma.decompress(file.read_bytes()))) as parts:
        for split in SPLITS:
            content, ends = parts[f"{split}_bytes"], np.cumsum(parts[f"{split}_sizes"])
            images = [
                np.asarray(Image.open(io.BytesIO(content[a:b].tobytes())).convert("RGB"))
                for a, b in zip([0, *ends[:-1]], ends)
            ]
            arrays[f"{split}_image"] = np.stack(images)
            arrays[f"{split}_label"] = parts[f"{split}_label"]
    return arrays
