"""Figures: what they draw, and that files are written."""

import numpy as np
import pytest

from keras_sam.sharpness import Landscape, plot_landscapes

AXIS = np.array([-1.0, 0.0, 1.0])


def line(values):
    return Landscape((AXIS,), np.array(values), ("direction 1",))


def plane(values):
    return Landscape((AXIS, AXIS[:2]), np.array(values), ("direction 1", "direction 2"))


def test_lines(tmp_path):
    path = tmp_path / "lines.png"
    figure = plot_landscapes({"SGD": line([3.0, 1, 2]), "SAM": line([2.0, 1, np.inf])}, path)
    (axes,) = figure.axes
    assert [artist.get_label() for artist in axes.lines] == ["SGD", "SAM"]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [3, 1, 2])
    assert axes.get_xlabel() == "direction 1"
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("low", [0.5, 0.0])
def test_planes_share_their_levels(tmp_path, low):
    path = tmp_path / "planes.svg"
    first = plane([[1.0, 2], [3, low], [np.nan, 6]])
    figure = plot_landscapes({"SGD": first, "SAM": plane([[1.0, 2], [3, 4], [5, 7]])}, path)
    left, right, bar = figure.axes
    assert left.get_title() == "SGD"
    assert right.get_ylabel() == "direction 2"
    assert bar.get_ylabel() == "loss"
    np.testing.assert_array_equal(left.collections[0].levels, right.collections[0].levels)
    assert left.collections[0].levels[[0, -1]] == pytest.approx([low, 7])
    assert "<svg" in path.read_text()


def test_a_constant_plane_and_a_single_landscape():
    figure = plot_landscapes(plane([[2.0, 2], [2, 2], [2, 2]]))
    assert figure.axes[0].collections


def test_bad_landscapes():
    with pytest.raises(ValueError, match=r"at least one, all of the same.*Received: 0 with"):
        plot_landscapes({})
    with pytest.raises(ValueError, match=r"Received: 2 with dimensions \[1, 2\]"):
        plot_landscapes({"a": line([1.0, 2, 3]), "b": plane([[1.0, 2], [3, 4], [5, 6]])})
    with pytest.raises(ValueError, match=r"`landscapes` must have finite losses"):
        plot_landscapes(plane([[np.nan] * 2] * 3))


@pytest.mark.parametrize("landscapes", [5, None, [line([1.0, 2, 3])], {"SGD": [1, 2, 3]}])
def test_what_is_no_landscape(landscapes):
    with pytest.raises(TypeError, match=r"`landscapes` must be a Landscape, or a dict of them"):
        plot_landscapes(landscapes)
