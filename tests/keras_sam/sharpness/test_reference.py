"""The reference itself, against Keras and against differences of its own loss."""

import numpy as np
import pytest

from tests.keras_sam.sharpness import reference


@pytest.mark.parametrize("labels", [False, True])
def test_gradient_is_that_of_the_loss(labels):
    x, y = reference.examples(labels=labels)
    w = reference.weights()
    differences = [
        (reference.loss(w + 1e-6 * e, x, y) - reference.loss(w - 1e-6 * e, x, y)) / 2e-6
        for e in np.eye(reference.SIZE)
    ]
    np.testing.assert_allclose(reference.gradient(w, x, y), differences, atol=1e-8)


def test_mean_of_example_hessians_is_the_hessian():
    x, y = reference.examples()
    w = reference.weights()
    mean = reference.example_hessians(w, x, y).mean(axis=0)
    np.testing.assert_allclose(mean, reference.hessian(w, x, y), atol=1e-8)
