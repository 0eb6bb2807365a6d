"""Datasets: splits, order and augmentation by seed and epoch, normalisation, what is missing."""

import io
import itertools
import os
import pathlib
import tarfile

import keras
import numpy as np
import pytest
import requests
import sklearn.datasets
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st

from keras_sam import SAMModel
from recipes import networks
from recipes.datasets.augmentation import Augmentation, CropAndFlip
from recipes.datasets.cifar10 import cifar10
from recipes.datasets.digits import digits
from recipes.datasets.imagenet2012 import central_window, imagenet2012, random_window
from recipes.datasets.in_memory import in_memory
from recipes.datasets.mnist import mnist
from recipes.datasets.prepared import load_arrays, prepared_builder
from recipes.datasets.split import Split

needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute"
)


def is_prepared(name):
    folder = os.environ.get("TFDS_DATA_DIR")
    return folder is not None and any(pathlib.Path(folder, name).glob("*/dataset_info.json"))


needs_mnist = pytest.mark.skipif(
    not is_prepared("mnist"), reason="TFDS_DATA_DIR names no folder with mnist in it"
)
needs_cifar10 = pytest.mark.skipif(
    not is_prepared("cifar10"), reason="TFDS_DATA_DIR names no folder with cifar10 in it"
)


def numbered(examples=103, test_examples=11, **kwargs):
    """A dataset whose "images" are the numbers of the examples; a label is the number modulo 10."""

    def arrays(first, count):
        numbers = np.arange(first, first + count)
        return numbers.astype(np.int32).reshape(-1, 1, 1, 1), numbers % 10

    options = {"classes": 10}
    for name in ("classes", "prepare", "augment"):
        if name in kwargs:
            options[name] = kwargs.pop(name)
    split = Split(**{"batch_size": 8, "validation_split": 0.2, "data_seed": 0, **kwargs})
    train, test = arrays(0, examples), arrays(1000, test_examples)
    return in_memory("numbered", train, test, split, **options)


def numbers(dataset):
    return np.concatenate([arrays(batch)[0].ravel() for batch in dataset]).astype(int)


def labels(dataset):
    return np.concatenate([arrays(batch)[1] for batch in dataset])


def arrays(batch):
    return [keras.ops.convert_to_numpy(part) for part in batch]


def epochs(data, first, count):
    return list(itertools.islice(data.train(first), count * data.steps_per_epoch))


# Splits.


def test_splits_are_disjoint_and_cover_the_dataset():
    data = numbered()
    validation, test = numbers(data.validation), numbers(data.test)
    training = set(numbers(epochs(data, 0, 50)))  # in 50 epochs no example is left over
    assert (data.train_examples, data.validation_examples, data.test_examples) == (82, 21, 11)
    assert len(training) == 82
    assert len(set(validation)) == len(validation) == 21
    assert training.isdisjoint(validation)
    assert training | set(validation) == set(range(103))
    np.testing.assert_array_equal(test, np.arange(1000, 1011))
    assert data.steps_per_epoch == 82 // 8
    assert (data.input_shape, data.classes, data.batch_size) == ((1, 1, 1), 10, 8)


def test_validation_examples_depend_on_the_data_seed_alone():
    first = numbers(numbered(seed=0, data_seed=3).validation)
    np.testing.assert_array_equal(first, numbers(numbered(seed=9, data_seed=3).validation))
    assert set(first) != set(numbers(numbered(seed=0, data_seed=4).validation))


def test_take_limits_training_and_validation_together():
    data = numbered(take=50)
    assert (data.train_examples, data.validation_examples, data.test_examples) == (40, 10, 11)
    assert len(set(numbers(epochs(data, 0, 20)))) == 40
    # A part of the whole: a smaller dataset validates on no example that the larger one trains on.
    assert numbered(take=1000).train_examples == 82


@given(
    st.integers(2, 10_000),
    st.floats(0.01, 0.99),
    st.none() | st.integers(1, 20_000),
)
def test_split_sizes(examples, share, take):
    used = examples if take is None else min(examples, take)
    split = Split(batch_size=1, validation_split=share, take=take)
    held_out = round(share * used)
    if held_out == 0 or held_out == used:
        with pytest.raises(ValueError, match="Received"):
            split.sizes(examples)
    else:
        assert split.sizes(examples) == (used - held_out, held_out)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be an integer >= 1. Received: `batch_size=0`"),
        ({"batch_size": 83}, "`batch_size` must be at most the number of training examples, 82"),
        ({"validation_split": 0.0}, r"`validation_split` must be a number in \(0, 1\)"),
        ({"validation_split": float("nan")}, "`validation_split` must be"),
        ({"validation_split": 1e-6}, "`validation_split` leaves no validation example of 103"),
        ({"take": 0}, "`take` must be an integer >= 1. Received: `take=0`"),
        ({"seed": -1}, "`seed` must be an integer >= 0. Received: `seed=-1`"),
        ({"data_seed": 0.5}, "`data_seed` must be an integer >= 0. Received: `data_seed=0.5`"),
        ({"label_noise": 2.0}, "`label_noise` must be"),
        ({"noise_kind": "none"}, "symmetric.*pair_flip.*Received: `noise_kind='none'`"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        numbered(**kwargs)


def test_bad_epoch():
    with pytest.raises(ValueError, match="`initial_epoch` must be an integer >= 0"):
        numbered().train(-1)


# Order.


def test_an_epoch_has_each_example_once_at_most_and_its_own_order():
    data = numbered()
    orders = numbers(epochs(data, 0, 4)).reshape(4, -1)
    for order in orders:
        assert len(set(order)) == order.size == 80
    for a, b in itertools.combinations(orders, 2):
        assert np.any(a != b)
    np.testing.assert_array_equal(labels(epochs(data, 0, 4)), orders.ravel() % 10)


def test_a_stream_may_start_at_any_epoch():
    data = numbered(seed=7)
    whole = numbers(epochs(data, 0, 5)).reshape(5, -1)
    for first in range(5):
        np.testing.assert_array_equal(numbers(epochs(data, first, 1)), whole[first])
    # A new dataset, as in a new process; and a very late epoch.
    np.testing.assert_array_equal(numbers(epochs(numbered(seed=7), 3, 2)), whole[3:].ravel())
    assert len(set(numbers(epochs(data, 10**6, 1)))) == 80


def test_order_depends_on_the_seed_and_on_no_global_state():
    np.random.seed(1)
    first = numbers(epochs(numbered(seed=2), 0, 2))
    np.random.seed(2)
    np.testing.assert_array_equal(first, numbers(epochs(numbered(seed=2), 0, 2)))
    other = numbers(epochs(numbered(seed=3), 0, 2))
    assert set(other) <= set(range(103))
    assert np.any(first != other)


def test_orders_of_epochs_are_independent():
    # A cheap pseudorandom permutation of so many indices may map near indices to near ones, or
    # repeat itself from epoch to epoch; both would show as a correlation.
    examples = 50_000
    data = numbered(examples, batch_size=500)
    orders = numbers(epochs(data, 0, 4)).reshape(4, -1).astype(float)
    limit = 5 / np.sqrt(orders.shape[1])
    for a, b in itertools.combinations([*orders, np.arange(orders.shape[1])], 2):
        assert abs(np.corrcoef(a, b)[0, 1]) < limit
    for order in orders:
        assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < limit


@needs_tensorflow
def test_replicas_share_each_batch(strategy):
    data = numbered()
    whole = [x.numpy().ravel() for x, _ in data.train(1).take(3)]
    distributed = iter(strategy.experimental_distribute_dataset(data.train(1)))
    for expected in whole:
        parts = strategy.experimental_local_results(next(distributed)[0])
        assert [part.shape[0] for part in parts] == [4, 4]
        np.testing.assert_array_equal(np.concatenate([p.numpy().ravel() for p in parts]), expected)


def shares_of_two_workers(dataset):
    """What MultiWorkerMirroredStrategy feeds to each of two workers."""
    from tensorflow.python.data.experimental.ops import distribute

    return [distribute._AutoShardDataset(dataset, 2, index) for index in (0, 1)]


@needs_tensorflow
def test_workers_share_each_epoch():
    data = numbered()
    parts = [numbers(part.take(5)) for part in shares_of_two_workers(data.train(1))]
    batches = numbers(data.train(1).take(10)).reshape(10, -1)
    for index, part in enumerate(parts):
        np.testing.assert_array_equal(part, batches[index::2].ravel())


def test_resumed_training_ends_with_the_same_weights():
    data = digits(Split(batch_size=64, validation_split=0.2, seed=1, data_seed=0, take=400))

    def fit(*stages):
        model = networks.mlp(0.1, input_shape=data.input_shape, seed=0)
        model.compile(
            keras.optimizers.SGD(0.1),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=False,
        )
        for first, last in stages:
            model.fit(
                data.train(first),
                initial_epoch=first,
                epochs=last,
                steps_per_epoch=data.steps_per_epoch,
                validation_data=data.validation,
                verbose=0,
                shuffle=False,
            )
        return model.get_weights()

    for whole, resumed in zip(fit((0, 4)), fit((0, 1), (1, 4)), strict=True):
        np.testing.assert_array_equal(whole, resumed)


# Label noise.


@pytest.mark.parametrize("kind", ["symmetric", "pair_flip"])
def test_noise_is_exact_repeats_itself_and_spares_validation_and_test(kind):
    data = numbered(label_noise=0.4, noise_kind=kind)
    wrong = {}
    for epoch in (0, 1, 30):
        x, y = numbers(epochs(data, epoch, 1)), labels(epochs(data, epoch, 1))
        for number, label in zip(x, y, strict=True):
            assert wrong.setdefault(number, label) == label
    for number, label in zip(
        numbers(epochs(data, 2, 40)), labels(epochs(data, 2, 40)), strict=True
    ):
        assert wrong.setdefault(number, label) == label
    shifts = np.array([(label - number) % 10 for number, label in wrong.items()])
    assert len(shifts) == data.train_examples == 82
    assert np.count_nonzero(shifts) == round(0.4 * 82)
    assert set(shifts) == {0, 1} if kind == "pair_flip" else len(set(shifts)) > 5
    for split in (data.validation, data.test):
        np.testing.assert_array_equal(labels(split), numbers(split) % 10)


def test_noise_depends_on_the_data_seed_alone():
    def by_number(**seeds):
        data = numbered(label_noise=0.5, **seeds)
        stream = epochs(data, 0, 30)
        return dict(zip(numbers(stream), labels(stream), strict=True))

    assert by_number(seed=0, data_seed=5) == by_number(seed=1, data_seed=5)
    assert by_number(seed=0, data_seed=5) != by_number(seed=0, data_seed=6)


# Augmentation.


def cropped_by_numpy(image, top, left, flip, padding):
    height, width, _ = image.shape
    padded = np.pad(image, [(padding, padding), (padding, padding), (0, 0)])
    crop = padded[top : top + height, left : left + width]
    return crop[:, ::-1] if flip else crop


def test_every_crop_and_flip_against_numpy():
    cases = list(itertools.product(range(9), range(9), (0, 1)))
    shape = (len(cases), 6, 5, 3)
    images = np.random.default_rng(0).integers(1, 256, shape, dtype=np.uint8)
    augmentation = CropAndFlip(padding=4)
    result = augmentation(keras.ops.convert_to_tensor(images), np.array(cases, np.int32))
    expected = [cropped_by_numpy(image, *case, 4) for image, case in zip(images, cases)]
    assert keras.backend.standardize_dtype(result.dtype) == "uint8"
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(result), expected)


def test_crops_are_uniform():
    draws = CropAndFlip(padding=1).draw(np.random.default_rng(0), (90, 100))
    assert (draws.shape, draws.dtype) == ((90, 100, 3), np.int32)
    cases, counts = np.unique(draws.reshape(-1, 3), axis=0, return_counts=True)
    assert cases.tolist() == [list(case) for case in itertools.product(range(3), range(3), (0, 1))]
    # 500 of each expected; the standard deviation of a count is 22.
    assert np.all(np.abs(counts - 500) < 5 * 22)


class Noise(Augmentation):
    def draw(self, random, shape):
        return random.integers(0, 10**6, size=(*shape, 1))

    def __call__(self, inputs, draws):
        return inputs + draws[:, :, None, None] * 1000


def test_augmentation_differs_by_epoch_and_repeats_by_seed():
    data = numbered(augment=Noise())
    drawn = [numbers(epochs(data, epoch, 1)) // 1000 for epoch in range(3)]
    assert len(set(np.concatenate(drawn))) > 0.99 * sum(draws.size for draws in drawn)
    again = numbered(augment=Noise())
    np.testing.assert_array_equal(drawn[2], numbers(epochs(again, 2, 1)) // 1000)
    assert np.any(drawn[0] != numbers(epochs(numbered(augment=Noise(), seed=1), 0, 1)) // 1000)
    assert max(numbers(data.validation)) < 103


def test_what_the_host_decides_is_numpys():
    """The same integers whatever the backend: written out here, from NumPy alone."""
    data = numbered(seed=5, augment=Noise())
    for epoch in (0, 3):
        rows = np.random.default_rng([5, epoch]).permutation(82)[:80].reshape(10, 8)
        draws = np.random.default_rng([5, epoch, 1]).integers(0, 10**6, size=(10, 8, 1))
        np.testing.assert_array_equal(data.order(epoch), rows)
        np.testing.assert_array_equal(data.draws(epoch), draws)
        assert data.order(epoch).dtype == data.draws(epoch).dtype == np.int32
        x, y = data.arrays["train"]
        # float32 holds the numbers to 1 in 10^7.
        expected = (x[rows, 0, 0] + draws * 1000).ravel()
        found = numbers(epochs(data, epoch, 1))
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        np.testing.assert_array_equal(labels(epochs(data, epoch, 1)), y[rows].ravel())
    assert data.order(0)[0].tolist() == [31, 38, 70, 30, 4, 44, 39, 74]
    assert numbered().draws is None
    with pytest.raises(ValueError, match="`epoch` must be an integer >= 0"):
        data.order(-1)


def test_arrays_are_those_of_the_streams():
    data = numbered(label_noise=0.5)
    for part in ("validation", "test"):
        x, y = data.arrays[part]
        np.testing.assert_array_equal(numbers(getattr(data, part)), x.ravel())
        np.testing.assert_array_equal(labels(getattr(data, part)), y)
    x, y = data.arrays["train"]
    assert y.dtype == np.int32
    assert np.count_nonzero(y != x.ravel() % 10) == 41


# Digits.


def test_digits_are_those_of_scikit_learn():
    data = digits(Split(batch_size=64, validation_split=0.2))
    assert (data.train_examples, data.validation_examples, data.test_examples) == (1150, 287, 360)
    assert (data.input_shape, data.classes, data.steps_per_epoch) == ((8, 8, 1), 10, 17)
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    known = {(np.uint8(image).tobytes(), label) for image, label in zip(x, y, strict=True)}
    assert len(known) == 1797
    seen = []
    for split in (epochs(data, 0, 30), data.validation, data.test):
        pairs = [
            (np.uint8(image * 16).tobytes(), label)
            for images, targets in map(arrays, split)
            for image, label in zip(images, targets, strict=True)
        ]
        seen.append(set(pairs))
    assert [len(part) for part in seen] == [1150, 287, 360]
    assert set.union(*seen) == known


def test_digits_test_set_depends_on_the_data_seed():
    first, again, other = (
        digits(Split(seed=seed, data_seed=data_seed)).arrays["test"][0]
        for seed, data_seed in ((0, 0), (1, 0), (0, 1))
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


# MNIST and CIFAR-10, where they are prepared.


@needs_mnist
def test_mnist_pixels_and_sizes():
    data = mnist(Split(seed=0), download=False)
    assert (data.train_examples, data.validation_examples, data.test_examples) == (
        54_000,
        6_000,
        10_000,
    )
    assert (data.input_shape, data.classes, data.steps_per_epoch) == ((28, 28, 1), 10, 421)
    _, (images, targets) = load_arrays("mnist", download=False)
    x, y = arrays(next(iter(data.test)))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, images[:128] / 255, rtol=1e-6)
    np.testing.assert_array_equal(y, targets[:128])
    assert np.bincount(targets).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    first = [arrays(batch)[0] for batch in itertools.islice(data.train(0), 3)]
    assert [(x.min(), x.max()) for x in first] == [(0.0, 1.0)] * 3


@needs_cifar10
def test_cifar10_normalisation_and_augmentation():
    data = cifar10(Split(take=2000), download=False)
    assert (data.train_examples, data.validation_examples, data.test_examples) == (
        1800,
        200,
        10_000,
    )
    assert (data.input_shape, data.classes, data.steps_per_epoch) == ((32, 32, 3), 10, 14)
    (train_images, train_labels), (images, targets) = load_arrays("cifar10", download=False)
    assert images.dtype == np.uint8
    mean, std = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2023, 0.1994, 0.2010])
    x, y = arrays(next(iter(data.test)))
    np.testing.assert_allclose(x, (images[:128] / 255 - mean) / std, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(y, targets[:128])

    # Each training image is one of the 162 crops of an image with its label: find it by its centre,
    # which all shifts by up to 4 pixels contain.
    x, y = arrays(next(iter(data.train(0))))
    pixels = np.rint((x * std + mean) * 255).astype(np.uint8)
    offsets = list(itertools.product(range(9), range(9), (False, True)))
    for image, label in zip(pixels[:4], y[:4], strict=True):
        of_class = train_images[train_labels == label]
        padded = np.pad(of_class, [(0, 0), (4, 4), (4, 4), (0, 0)])
        matches = 0
        for top, left, flip in offsets:
            crops = padded[:, top : top + 32, left : left + 32]
            crops = crops[:, :, ::-1] if flip else crops
            near = np.flatnonzero(np.all(crops[:, 16, 16] == image[16, 16], axis=-1))
            matches += sum(np.array_equal(crops[index], image) for index in near)
        assert matches >= 1


# Data that are not there.


@pytest.fixture
def nothing_prepared(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("KERAS_SAM_CACHE", str(tmp_path / "cache"))

    def refuse(*args, **kwargs):
        raise requests.ConnectionError("no network in this test")

    monkeypatch.setattr(requests, "head", refuse)
    return tmp_path


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
@pytest.mark.parametrize("download", [True, False])
def test_missing_data_and_no_network(name, download, nothing_prepared):
    with pytest.raises(ValueError, match="is not prepared") as error:
        {"mnist": mnist, "cifar10": cifar10}[name](Split(), download=download)
    message = str(error.value)
    assert f"The dataset {name} is not prepared in {nothing_prepared}" in message
    assert ("could not be downloaded (ConnectionError)" in message) == download
    assert f"tfds.builder('{name}').download_and_prepare()" in message
    assert message.endswith(f"Received: `TFDS_DATA_DIR={nothing_prepared}`")
    assert not list(nothing_prepared.iterdir())


def test_missing_imagenet(nothing_prepared):
    with pytest.raises(ValueError, match="is not prepared") as error:
        imagenet2012(Split())
    message = str(error.value)
    assert f"{nothing_prepared}/downloads/manual" in message
    assert "ILSVRC2012_img_train.tar" in message
    assert message.endswith(f"Received: `TFDS_DATA_DIR={nothing_prepared}`")


def test_a_download_that_fails_is_explained(nothing_prepared, monkeypatch):
    def fail(self):
        raise RuntimeError("the archive is broken")

    monkeypatch.setattr(requests, "head", lambda *args, **kwargs: None)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(ValueError, match=r"\(RuntimeError: the archive is broken\)") as error:
        prepared_builder("mnist", download=True)
    assert isinstance(error.value.__cause__, RuntimeError)


# ImageNet: prepared by TFDS's own builder from archives of generated JPEGs in the manual folder.

TRAIN, TEST = 60, 10


def plain_jpeg(number):
    """An image of one grey level, so that any window of it tells which image it is."""
    shape = (40 + number % 7, 50 - number % 11, 3)
    return tf.io.encode_jpeg(np.full(shape, level(number), np.uint8), quality=100).numpy()


def level(number):
    return 5 + 3 * number


def add_file(archive, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


@pytest.fixture(scope="module")
def imagenet_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    manual = folder / "downloads" / "manual"
    manual.mkdir(parents=True)
    builder = tfds.builder("imagenet2012", data_dir=folder)
    synsets = builder.info.features["label"].names
    with tarfile.open(manual / "ILSVRC2012_img_train.tar", "w") as archive:
        for label in range(5):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as inner:
                for number in range(label, TRAIN, 5):
                    add_file(inner, f"{synsets[label]}_{number}.JPEG", plain_jpeg(number))
            add_file(archive, f"{synsets[label]}.tar", buffer.getvalue())
    with tarfile.open(manual / "ILSVRC2012_img_val.tar", "w") as archive:
        for number in range(TEST):
            add_file(archive, f"ILSVRC2012_val_{number + 1:08}.JPEG", plain_jpeg(number))
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=4), file_format="tfrecord"
    )
    return folder


@pytest.fixture
def imagenet(imagenet_folder, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(imagenet_folder))

    def build(**kwargs):
        options = {"image_size": 24, "shuffle_buffer": 20}
        options |= {name: kwargs.pop(name) for name in list(options) if name in kwargs}
        split = {"batch_size": 8, "validation_split": 0.2, "data_seed": 0, **kwargs}
        return imagenet2012(Split(**split), **options)

    return build


def image_numbers(dataset):
    """Which images the inputs are, from their grey levels."""
    found = []
    for x, _ in dataset:
        pixels = (x.numpy() * (0.229, 0.224, 0.225) + (0.485, 0.456, 0.406)) * 255
        assert np.all(pixels.std(axis=(1, 2)) < 1e-2)
        number = (pixels.mean(axis=(1, 2, 3)) - 5) / 3
        np.testing.assert_allclose(number, np.rint(number), atol=0.4)
        found.extend(np.rint(number).astype(int))
    return np.array(found)


def test_imagenet_splits(imagenet):
    data = imagenet()
    assert (data.train_examples, data.validation_examples, data.test_examples) == (48, 12, TEST)
    assert (data.input_shape, data.classes, data.steps_per_epoch) == ((24, 24, 3), 1000, 6)
    stream = epochs(data, 0, 1)
    training, validation = image_numbers(stream), image_numbers(data.validation)
    assert sorted([*training, *validation]) == list(range(TRAIN))
    np.testing.assert_array_equal(labels(stream), training % 5)
    np.testing.assert_array_equal(labels(data.validation), validation % 5)
    assert sorted(image_numbers(data.test)) == list(range(TEST))
    assert (int(data.validation.cardinality()), int(data.test.cardinality())) == (2, 2)
    other = image_numbers(imagenet(data_seed=1).validation)
    assert set(other) != set(validation)
    smaller = imagenet(take=40)
    assert (smaller.train_examples, smaller.validation_examples) == (32, 8)
    assert len(set(image_numbers(epochs(smaller, 0, 1)))) == 32


def test_imagenet_epochs_follow_from_the_seed(imagenet):
    def pixels(data, first, count):
        return np.concatenate([x for x, _ in epochs(data, first, count)])

    tf.random.set_seed(1)
    whole = imagenet(seed=3)
    orders = image_numbers(epochs(whole, 0, 3)).reshape(3, -1)
    assert all(set(order) == set(orders[0]) for order in orders)
    assert all(np.any(a != b) for a, b in itertools.combinations(orders, 2))
    tf.random.set_seed(2)
    resumed = imagenet(seed=3)
    np.testing.assert_array_equal(image_numbers(epochs(resumed, 1, 2)), orders[1:].ravel())
    np.testing.assert_array_equal(pixels(whole, 0, 3)[48:], pixels(resumed, 1, 2))
    assert np.any(image_numbers(epochs(imagenet(seed=4), 0, 1)) != orders[0])


def test_imagenet_workers_share_each_epoch(imagenet):
    data = imagenet()
    batches = image_numbers(epochs(data, 1, 1)).reshape(6, -1)
    for index, part in enumerate(shares_of_two_workers(data.train(1))):
        np.testing.assert_array_equal(image_numbers(part.take(3)), batches[index::2].ravel())


def test_imagenet_label_noise(imagenet):
    data = imagenet(label_noise=0.25)
    wrong = {}
    for epoch in range(2):
        stream = epochs(data, epoch, 1)
        for number, label in zip(image_numbers(stream), labels(stream), strict=True):
            assert wrong.setdefault(number, label) == label
    assert sum(label != number % 5 for number, label in wrong.items()) == 12
    np.testing.assert_array_equal(labels(data.validation), image_numbers(data.validation) % 5)


@pytest.mark.parametrize(
    ("build", "width"),
    [(networks.resnet18, 2), pytest.param(networks.resnet50, 2, marks=pytest.mark.slow)],
)
def test_one_training_step_on_imagenet(imagenet, build, width):
    data = imagenet(batch_size=16)
    network = build(width, input_shape=data.input_shape, classes=data.classes)
    model = SAMModel(network, rho=0.05)
    model.compile(
        keras.optimizers.SGD(0.1),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    before = model.get_weights()
    history = model.fit(data.train(0), steps_per_epoch=1, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    assert any(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))
    assert model.evaluate(data.validation, return_dict=True, verbose=0)["loss"] > 0


@pytest.fixture
def other_imagenet(imagenet_folder, tmp_path, monkeypatch):
    """Prepares the same archives anew, all or some of them, in another format."""

    def prepare(*archives, file_format="tfrecord"):
        source, manual = (root / "downloads" / "manual" for root in (imagenet_folder, tmp_path))
        manual.mkdir(parents=True)
        for archive in archives:
            (manual / archive).symlink_to(source / archive)
        builder = tfds.builder("imagenet2012", data_dir=tmp_path)
        builder.download_and_prepare(file_format=file_format)
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))

    return prepare


def test_imagenet_needs_both_archives(other_imagenet):
    other_imagenet("ILSVRC2012_img_val.tar")
    with pytest.raises(ValueError, match=r"without its split `train`.*ILSVRC2012_img_train.tar"):
        imagenet2012(Split(batch_size=8))


def test_imagenet_in_another_format(other_imagenet):
    other_imagenet("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", file_format="array_record")
    with pytest.raises(
        ValueError, match=r"must be prepared as TFRecord files. Received: .*array_record"
    ):
        imagenet2012(Split(batch_size=8))


def gradient_jpeg(height, width):
    """Red grows with the row, green with the column."""
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack([rows, columns, np.full_like(rows, 128)], axis=-1).astype(np.uint8)
    return tf.io.encode_jpeg(image, quality=100, chroma_downsampling=False).numpy()


def rows_and_columns(image):
    pixels = (np.asarray(image) * (0.229, 0.224, 0.225) + (0.485, 0.456, 0.406)) * 255
    return pixels[..., 0], pixels[..., 1]


def test_central_window():
    # The shorter edge is 160; 224 / 256 of it are 140, in the middle of 160 rows and 200 columns.
    rows, columns = rows_and_columns(central_window(gradient_jpeg(160, 200), 224))
    assert rows.shape == (224, 224)
    np.testing.assert_allclose([rows[0].mean(), rows[-1].mean()], [10, 149], atol=1.5)
    np.testing.assert_allclose([columns[:, 0].mean(), columns[:, -1].mean()], [30, 169], atol=1.5)


def test_random_windows_stay_within_their_bounds():
    height, width = 160, 200
    jpeg = gradient_jpeg(height, width)
    areas, flips = [], []
    for index in range(200):
        rows, columns = rows_and_columns(random_window(jpeg, 32, (0, index)))
        top, bottom = rows[0].mean(), rows[-1].mean()
        left, right = columns[:, 0].mean(), columns[:, -1].mean()
        flips.append(left > right)
        # The outermost samples lie half a step inside the window.
        h, w = (bottom - top) * 32 / 31, abs(right - left) * 32 / 31
        areas.append(h * w / (height * width))
        assert 0.7 < w / h < 1.42
    assert 0.06 < min(areas) < 0.2
    assert 0.8 < max(areas) < 1.04
    assert 70 < sum(flips) < 130
    again = random_window(jpeg, 32, (0, 7))
    np.testing.assert_array_equal(again, random_window(jpeg, 32, (0, 7)))
