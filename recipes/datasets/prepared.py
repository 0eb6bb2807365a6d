"""Datasets that tensorflow-datasets has prepared on disk."""

from __future__ import annotations

import functools
import os
import pathlib
from typing import Any

import numpy as np

from recipes.datasets.cache import cached, folder

_SPLITS = ("train", "test")
_NAMES = [f"{split}_{part}" for split in _SPLITS for part in ("image", "label")]


def prepared_builder(name: str, *, download: bool, hint: str = "run, with a network, ") -> Any:
    """Returns the TFDS builder of a dataset that is prepared, or explains how to prepare it.

    The folder is $TFDS_DATA_DIR, or TFDS's default, ~/tensorflow_datasets.

    Args:
        name: the dataset's name in TFDS.
        download: whether to download and prepare what is missing. The host is asked first, with a
            limit of 10 seconds, for TFDS itself needs minutes to notice that there is no network.
        hint: for the message, what to do by hand before the command that prepares the data;
            "{folder}" in it stands for the folder of all TFDS data.

    Returns:
        A `tfds.core.DatasetBuilder` whose data are on disk.

    Raises:
        ValueError: the data are not there and could not be, or should not be, downloaded.

    Example:

    ```python
    builder = prepared_builder("mnist", download=True)
    ```
    """
    import requests
    import tensorflow_datasets as tfds

    folder = os.environ.get("TFDS_DATA_DIR")
    builder = tfds.builder(name, data_dir=folder)
    if builder.is_prepared():
        return builder
    cause: Exception | None = None
    if download:
        try:
            for url in builder.url_infos:
                requests.head(url, timeout=10, allow_redirects=True)
            builder.download_and_prepare()
            return builder
        except Exception as error:  # TFDS raises whatever its downloaders and readers raise.
            cause, reason = error, type(error).__name__
            if not isinstance(error, requests.RequestException):  # those are long and say no more
                reason = f"{reason}: {error}"
    raise ValueError(
        f"The dataset {name} is not prepared in {builder.data_dir}"
        + (f", and it could not be downloaded ({reason})" if cause else "")
        + ". Either set the environment variable TFDS_DATA_DIR to a folder that holds it, or "
        + hint.format(folder=pathlib.Path(builder.data_dir).parents[1])
        + '`python -c "import tensorflow_datasets as tfds; '
        + f"tfds.builder('{name}').download_and_prepare()\"`. Received: `TFDS_DATA_DIR={folder}`"
    ) from cause


def load_arrays(name: str, *, download: bool) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Loads the training and the test set of an image dataset into memory.

    They are decoded once, through TFDS, and then kept in `recipes.datasets.cache`.

    Args:
        name: the dataset's name in TFDS; it has features "image" and "label".
        download: see `prepared_builder`.

    Returns:
        (images, labels) of "train" and of "test": uint8 (examples, height, width, channels) and
        int32 (examples,), in the order on disk.

    Raises:
        ValueError: the data are not there.

    Example:

    ```python
    (x, y), (x_test, y_test) = load_arrays("mnist", download=True)
    ```
    """
    return _loaded(name, download, str(folder()))


@functools.lru_cache(maxsize=2)
def _loaded(name: str, download: bool, folder: str) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    arrays = cached(name, tuple(_NAMES), lambda: _decoded(name, download))
    train, test = ((arrays[f"{split}_image"], arrays[f"{split}_label"]) for split in _SPLITS)
    return train, test


def _decoded(name: str, download: bool) -> dict[str, np.ndarray]:
    import tensorflow_datasets as tfds

    builder = prepared_builder(name, download=download)
    arrays = {}
    for split in _SPLITS:
        table = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
        arrays[f"{split}_image"] = table["image"]
        arrays[f"{split}_label"] = table["label"].astype(np.int32)
    return arrays
