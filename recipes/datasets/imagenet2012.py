"""ImageNet (ILSVRC 2012) through tensorflow-datasets: sharded files, decoded on the fly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.datasets.batches import shared_by_batch
from recipes.datasets.data import Data
from recipes.datasets.label_noise import label_shifts
from recipes.datasets.prepared import prepared_builder
from recipes.datasets.split import Split, check_integer

CLASSES = 1000
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SHARDS_READ_AT_ONCE = 16
HINT = (
    "put ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar, which image-net.org gives to those "
    "who sign up, into {folder}/downloads/manual and run "
)


def imagenet2012(split: Split, image_size: int = 224, shuffle_buffer: int = 8192) -> Data:
    """Reads ImageNet, shape (image_size, image_size, 3).

    Training: a random window of 8 % to 100 % of the image's area and aspect 3/4 to 4/3, resized and
    mirrored with probability 1/2. Otherwise: the central window of the image's shorter edge times
    image_size / (image_size + 32). Only the window is decoded from the JPEG. Then
    x = (pixel / 255 - mean) / std per colour.

    An epoch reads the shard files in an order of its own, several at once, through a shuffle buffer
    of undecoded examples. The test set is ILSVRC's validation set; TFDS stores examples in random
    order, so whole files (and a part of one) serve as the validation split.

    Args:
        split: how to split and batch the 1,281,167 training examples; the paper's batch is 512.
        image_size: height and width of the network's input in pixels, default 224.
        shuffle_buffer: undecoded examples (about 110 kB each) to shuffle, default 8192.

    Returns:
        The `Data`.

    Raises:
        ValueError: an argument is outside of its range; the data are not there.

    Example:

    ```python
    data = imagenet2012(Split(batch_size=512, validation_split=0.01, seed=0))
    ```

    References: Russakovsky et al., IJCV 2015; Szegedy et al., "Going Deeper with Convolutions",
    CVPR 2015, section 6 (the random window); TFDS `imagenet2012`.
    """
    check_integer("image_size", image_size, minimum=1)
    check_integer("shuffle_buffer", shuffle_buffer, minimum=1)
    builder = prepared_builder("imagenet2012", download=False, hint=HINT)
    for part in ("train", "validation"):
        if part not in builder.info.splits:
            raise ValueError(
                f"The dataset imagenet2012 in {builder.data_dir} was prepared without its split "
                f"`{part}`. Delete that folder and prepare it from both archives, "
                "ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar. "
                f"Received: splits {sorted(builder.info.splits)}"
            )
    files = _files(builder, "train")
    examples = sum(file.count for file in files)
    seed, batch_size = split.seed, split.batch_size
    count, held_out = split.sizes(examples)
    order = np.random.default_rng([split.fixed_by, examples]).permutation(len(files))
    files = [files[index] for index in order]
    train_files = _cut(files, held_out, held_out + count)
    test_files = _files(builder, "validation")
    steps = count // batch_size
    shifts = label_shifts(count, CLASSES, split.label_noise, split.noise_kind, seed=split.fixed_by)
    with tf.device("CPU:0"):
        shifts = tf.constant(shifts)

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = builder.info.features.deserialize_example(record, decoders=_undecoded())
        return example["image"], example["label"]

    def epoch_records(epoch: tf.Tensor) -> tf.data.Dataset:
        # tf.data mixes the global seed into that of a shuffle. This call sets the seed of the
        # function that is being traced instead, so that the order depends on nothing global.
        tf.random.set_seed(1)
        shuffle_seed = tf.random.stateless_uniform(
            [], seed=[seed, epoch], minval=0, maxval=2**31 - 1, dtype=tf.int64
        )
        shards = tf.range(len(train_files), dtype=tf.int64)
        shards = tf.random.experimental.stateless_shuffle(shards, seed=[seed, epoch])
        records = _read(train_files, tf.data.Dataset.from_tensor_slices(shards))
        records = records.shuffle(shuffle_buffer, seed=shuffle_seed, reshuffle_each_iteration=False)
        return records.take(steps * batch_size).map(lambda *record: (epoch, *record))

    def train_example(
        epoch: tf.Tensor, index: tf.Tensor, record: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        jpeg, label = parse(record)
        key = tf.random.fold_in(tf.stack([tf.constant(seed, tf.int64), epoch]), index)
        return random_window(jpeg, image_size, key), (label + shifts[index]) % CLASSES

    def test_example(index: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        jpeg, label = parse(record)
        return central_window(jpeg, image_size), label

    def stream(initial_epoch: int = 0) -> tf.data.Dataset:
        check_integer("initial_epoch", initial_epoch, minimum=0)
        records = tf.data.Dataset.counter(initial_epoch).flat_map(epoch_records)
        return _batched(records, train_example, batch_size, tf.data.INFINITE_CARDINALITY)

    def one_pass(files: Sequence[ShardSlice]) -> tf.data.Dataset:
        records = _read(files, tf.data.Dataset.range(len(files)))
        batches = -(-sum(file.count for file in files) // batch_size)
        return _batched(records, test_example, batch_size, batches)

    return Data(
        name="imagenet2012",
        train=stream,
        validation=one_pass(_cut(files, 0, held_out)),
        test=one_pass(test_files),
        steps_per_epoch=steps,
        batch_size=batch_size,
        input_shape=(image_size, image_size, 3),
        classes=CLASSES,
        train_examples=count,
        validation_examples=held_out,
        test_examples=sum(file.count for file in test_files),
    )


def random_window(jpeg: Any, image_size: int, seed: Any) -> tf.Tensor:
    """Decodes a random window of a JPEG image, resized, normalised, and mirrored or not.

    Args:
        jpeg: the file's bytes, a scalar string.
        image_size: height and width of the result in pixels.
        seed: two integers, shape (2,), that fix the window and the mirroring.

    Returns:
        A float32 tensor of shape (image_size, image_size, 3).

    Example:

    ```python
    image = random_window(tf.io.read_file("cat.jpeg"), 224, seed=(0, 0))
    ```
    """
    window_seed, flip_seed = tf.unstack(tf.random.split(seed, 2))
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.image.extract_jpeg_shape(jpeg),
        bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=window_seed,
        min_object_covered=0.0,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(0.08, 1.0),
        max_attempts=10,
    )
    window = tf.concat([begin[:2], size[:2]], axis=0)
    image = _decode_window(jpeg, window, image_size)
    return tf.image.stateless_random_flip_left_right(image, flip_seed)


def central_window(jpeg: Any, image_size: int) -> tf.Tensor:
    """Decodes the central square of a JPEG image, resized and normalised.

    Args:
        jpeg: the file's bytes, a scalar string.
        image_size: height and width of the result in pixels.

    Returns:
        A float32 tensor of shape (image_size, image_size, 3).

    Example:

    ```python
    image = central_window(tf.io.read_file("cat.jpeg"), 224)
    ```
    """
    height, width, _ = tf.unstack(tf.image.extract_jpeg_shape(jpeg))
    edge = tf.minimum(height, width) * image_size // (image_size + 32)
    edge = tf.maximum(edge, 1)
    window = tf.stack([(height - edge) // 2, (width - edge) // 2, edge, edge])
    return _decode_window(jpeg, window, image_size)


def _decode_window(jpeg: Any, window: Any, image_size: int) -> tf.Tensor:
    image = tf.image.decode_and_crop_jpeg(jpeg, window, channels=3)
    image = tf.image.resize(image, [image_size, image_size], method="bicubic")
    return (image / 255.0 - MEAN) / STD


@dataclasses.dataclass(frozen=True)
class ShardSlice:
    """`count` examples in a row of one shard file, after the first `start`."""

    path: str
    start: int
    count: int


def _files(builder: Any, split: str) -> list[ShardSlice]:
    info = builder.info.splits[split]
    if not all(str(path).rsplit(".", 1)[-1].startswith("tfrecord") for path in info.filepaths):
        raise ValueError(
            "The dataset imagenet2012 must be prepared as TFRecord files. "
            f"Received: {builder.data_dir} of format {builder.info.file_format.value}"
        )
    return [
        ShardSlice(str(path), 0, count)
        for path, count in zip(info.filepaths, info.shard_lengths, strict=True)
    ]


def _cut(files: Sequence[ShardSlice], start: int, stop: int) -> list[ShardSlice]:
    """Returns the examples [start, stop) of all files in a row."""
    kept = []
    for file in files:
        first, last = max(start, 0), min(stop, file.count)
        if first < last:
            kept.append(ShardSlice(file.path, file.start + first, last - first))
        start, stop = start - file.count, stop - file.count
    return kept


def _read(files: Sequence[ShardSlice], shards: tf.data.Dataset) -> tf.data.Dataset:
    """Reads the given files to (index, undecoded example), where indices count along `files`."""
    counts = [file.count for file in files]
    with tf.device("CPU:0"):
        paths = tf.constant([file.path for file in files])
        skips = tf.constant([file.start for file in files], tf.int64)
        takes = tf.constant(counts, tf.int64)
        first = tf.constant(np.cumsum([0, *counts[:-1]]), tf.int64)

    def read(shard: tf.Tensor) -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(paths[shard]).skip(skips[shard]).take(takes[shard])
        return records.enumerate(first[shard])

    return shards.interleave(
        read,
        cycle_length=SHARDS_READ_AT_ONCE,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _batched(
    records: tf.data.Dataset, decode: Callable[..., Any], batch_size: int, batches: int
) -> tf.data.Dataset:
    endless = batches == tf.data.INFINITE_CARDINALITY
    examples = records.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = examples.batch(batch_size, drop_remainder=endless)
    # tf.data cannot know how many batches come out of files; Keras's progress bar wants to.
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches))
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(shared_by_batch())


def _undecoded() -> Any:
    import tensorflow_datasets as tfds

    return {"image": tfds.decode.SkipDecoding()}
