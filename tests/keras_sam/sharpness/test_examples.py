"""Reading data: what counts as a batch, how it is cut, what is refused."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sam.sharpness import examples as module
from keras_sam.sharpness.examples import Examples

X, Y, WEIGHT = np.arange(14.0).reshape(7, 2), np.arange(7.0), np.linspace(1, 2, 7)


class Sequence(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(3 * index, 3 * index + 3)
        return X[rows], Y[rows]


class Endless(keras.utils.PyDataset):
    num_batches = None

    def __getitem__(self, index):
        return X, Y


def batches():
    return [(X[i : i + 3], Y[i : i + 3]) for i in (0, 3, 6)]


def whole(data, **options):
    ((size, batch),) = Examples(data, **options).chunks(100)
    return size, batch


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: (X, Y), id="arrays"),
        pytest.param(batches, id="list"),
        pytest.param(lambda: iter(batches()), id="generator"),
        pytest.param(lambda: [list(batch) for batch in batches()], id="lists as batches"),
        pytest.param(Sequence, id="PyDataset"),
    ],
)
def test_every_source_gives_the_same_examples(data):
    size, (x, y, weight) = whole(data())
    assert size == 7
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    assert weight is None


def test_tf_data_is_read_once_so_that_shuffling_changes_nothing():
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(7).batch(3)
    examples = Examples(data)
    first, second = (list(examples.chunks(4)) for _ in range(2))
    for (_, (x1, y1, _)), (_, (x2, y2, _)) in zip(first, second, strict=True):
        np.testing.assert_array_equal(x1, x2)
        np.testing.assert_array_equal(y1, y2)
    assert sorted(np.concatenate([y for _, (_, y, _) in first])) == list(Y)


def test_torch_loader():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    size, (x, y, _) = whole(torch.utils.data.DataLoader(data, batch_size=3))
    assert size == 7
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)


def test_nested_inputs_and_sample_weights():
    size, (x, y, weight) = whole(({"a": X, "b": Y}, [Y, X], WEIGHT))
    assert size == 7
    np.testing.assert_array_equal(x["b"], Y)
    np.testing.assert_array_equal(y[1], X)
    np.testing.assert_array_equal(weight, WEIGHT)


def test_inputs_alone():
    _, (x, y, weight) = whole(X)
    np.testing.assert_array_equal(x, X)
    assert y is None
    assert weight is None


@given(batch_size=st.integers(1, 9), limit=st.integers(1, 9))
def test_chunks_hold_each_example_once_and_in_order(batch_size, limit):
    chunks = list(Examples(batches(), max_examples=limit).chunks(batch_size))
    assert all(size == len(y) <= batch_size for size, (_, y, _) in chunks)
    assert np.concatenate([y for _, (_, y, _) in chunks]).tolist() == Y[:limit].tolist()


def test_limit_reads_no_further_than_needed():
    def source():
        yield X, Y
        raise AssertionError("read on")

    assert Examples(source(), max_examples=7).size == 7


def test_batches_of_other_shapes_stay_apart():
    data = [(np.zeros((2, 5)), np.zeros(2)), (np.zeros((3, 8)), np.zeros(3))]
    examples = Examples(data)
    assert examples.size == 5
    assert [batch[0].shape for _, batch in examples.chunks(10)] == [(2, 5), (3, 8)]


def test_groups():
    groups = list(Examples((X, Y)).groups(3))
    assert [group.size for group in groups] == [3, 3, 1]
    ((size, (_, y, _)),) = groups[1].chunks(10)
    assert size == 3
    assert y.tolist() == [3, 4, 5]


@pytest.mark.parametrize("data", [[], (np.zeros((0, 2)), np.zeros(0)), iter(())])
def test_no_examples(data):
    with pytest.raises(ValueError, match=r"`data` must hold at least one example.*Received"):
        Examples(data)


def test_endless_data():
    with pytest.raises(ValueError, match=r"`data` must end.*Received: `data="):
        Examples(Endless())


def test_endless_tf_data():
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(3).repeat()
    with pytest.raises(ValueError, match=r"`data` must end.*Received: `data="):
        Examples(data)


@pytest.mark.parametrize("data", [None, "mnist", {"x": X}, 3])
def test_what_is_no_data(data):
    with pytest.raises(TypeError, match=r"`data` must be a tuple.*Received: `data="):
        Examples(data)


def test_arrays_of_different_lengths():
    with pytest.raises(ValueError, match=r"same length.*Received: arrays of shapes"):
        Examples((X, Y[:3]))


def test_ragged_rows():
    ragged = np.empty(2, object)
    ragged[:] = [[1], [1, 2]]
    with pytest.raises(TypeError, match=r"`data` must hold dense arrays.*Received"):
        Examples((ragged, np.zeros(2)))


def test_memory_is_checked_before_the_second_batch_is_read(monkeypatch):
    class Huge(keras.utils.PyDataset):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            assert index == 0
            return X, Y

    needed = 2 * 10 * (X.nbytes + Y.nbytes)
    monkeypatch.setattr("keras_sam.memory.available_memory", lambda: needed - 1)
    with pytest.raises(ValueError, match=r"70 examples would need .* GiB.*`max_examples=None`"):
        Examples(Huge())
    assert module.Examples(Huge(), max_examples=7).size == 7
