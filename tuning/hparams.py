"""The runs of a study in TensorBoard's HParams view, written from its records."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable

from recipes.running.records import DIVERGED, Record


def write_hparams(records: Iterable[Record], folder: str | os.PathLike[str]) -> None:
    """Writes each run's settings and results below a folder, once.

    TensorBoard writes them by TensorFlow. On other backends, which do not need it, nothing is
    written.

    Args:
        records: Finished runs.
        folder: What `tensorboard --logdir` is given.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf
    from tensorboard.plugins.hparams import api

    for record in records:
        config = record.config
        name = ",".join(
            f"{key}={value!r}".removesuffix(".0")
            for key, value in (("width", config.width), ("rho", config.rho), ("seed", config.seed))
        )
        path = pathlib.Path(folder) / name
        if path.exists():
            continue
        settings = {
            key: value if isinstance(value, bool | int | float | str) else str(value)
            for key, value in config.to_dict().items()
        }
        epochs = len(record.curves["loss"])
        with tf.summary.create_file_writer(str(path)).as_default():
            api.hparams({**settings, "parameters": record.kept_parameters}, trial_id=name)
            if record.status != DIVERGED:
                for name in (f"val_{record.metric.name}", f"test_{record.metric.name}"):
                    tf.summary.scalar(name, record.selected[name], epochs)
                tf.summary.scalar("train_loss", record.train["loss"], epochs)
