"""A member of a population equals its run alone; one that diverges touches no other."""

import keras
import numpy as np
import pytest

from keras_sam import Member, Population, SAMModel, methods
from tests.keras_sam.population.networks import (
    BATCH,
    MEMBERS,
    X,
    Y,
    alone,
    assert_same,
    build,
    compiled,
    plain,
    trained,
)


@pytest.mark.parametrize("vectorize", [True, False])
def test_each_member_equals_its_run_alone(vectorize):
    population, history = trained(MEMBERS, vectorize=vectorize)
    for i, member in enumerate(MEMBERS):
        sam, logs = alone(member)
        assert_same(population.network(i), sam.model)
        for name, values in logs.items():
            np.testing.assert_allclose(history[name][:, i], values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(
            {"method": methods.friendly(0.5) | methods.gsam(0.3), "ascent_steps": 2},
            marks=pytest.mark.slow,
        ),
        {"adaptive": True, "num_batch_splits": 3, "perturb": "kernels"},
    ],
    ids=["friendly, gsam", "adaptive, splits"],
)
def test_methods_and_their_state_are_each_members_own(options):
    members = [Member(0, 0.1), Member(1, 0.4)]
    population, _ = trained(members, plain, **options)
    for i, member in enumerate(members):
        assert_same(population.network(i), alone(member, plain, **options)[0].model)


def test_the_ascent_is_logged_of_each_member_in_training_alone():
    members = [Member(0, 0.1), Member(1, 0.4), Member(1)]
    population, history = trained(members, plain, log_ascent=True)
    for i, member in enumerate(members):
        _, logs = alone(member, plain, log_ascent=True)
        for name in ("gradient_norm", "perturbation_norm", "ascent"):
            np.testing.assert_allclose(history[name][:, i], logs[name], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(history["perturbation_norm"][-1], [0.1, 0.4, 0.0], rtol=1e-5)
    assert sorted(population.evaluate(X, Y)) == ["accuracy", "loss"]


@pytest.mark.slow
def test_a_member_may_have_a_method_of_its_own():
    members = [Member(0, 0.1), Member(0, 0.1, method=methods.ae_sam())]
    population, _ = trained(members, plain)
    assert_same(population.network(0), alone(members[0], plain)[0].model)
    assert_same(population.network(1), alone(members[1], plain, method="ae_sam")[0].model)


def test_masks_have_the_same_shapes_and_other_values():
    rng = np.random.default_rng(1)
    masks = [[rng.random((4, 5)) > 0.5, *[None] * 5] for _ in range(2)]
    members = [Member(0, 0.1, masks=masks[0]), Member(0, 0.1, masks=masks[1]), Member(0, 0.1)]
    population, _ = trained(members, plain)
    for i, member in enumerate(members):
        network = population.network(i)
        assert_same(network, alone(member, plain)[0].model)
        if member.masks is not None:
            assert not np.any(network.get_weights()[0][~masks[i][0]])


def test_a_member_that_diverges_touches_no_other():
    population, history = trained([Member(0, 0.1), Member(0, 1e38)], plain)
    assert not np.isfinite(population.network(1).get_weights()[0]).all()
    assert not np.isfinite(history["loss"][-1, 1])
    assert_same(population.network(0), alone(Member(0, 0.1), plain)[0].model)


@pytest.mark.slow
def test_chunks_take_turns():
    together, history = trained(MEMBERS, plain)
    apart, same = trained(MEMBERS, plain, chunk=1)
    for name in history:
        np.testing.assert_allclose(same[name], history[name], rtol=1e-5, atol=1e-6)
    for i in range(3):
        assert_same(apart.network(i), together.network(i))


def test_evaluation_and_prediction_have_an_axis_of_members():
    population = compiled(Population(build, MEMBERS))
    before = population.predict(X, batch_size=9)  # The last batch is one of 4.
    assert before.shape == (3, 22, 3)
    logs = population.evaluate(X, Y, batch_size=9)
    for i, member in enumerate(MEMBERS):
        sam = compiled(SAMModel(build(member.seed), member.rho))
        np.testing.assert_allclose(before[i], sam.predict(X, verbose=0), rtol=1e-5, atol=1e-6)
        expected = sam.evaluate(X, Y, verbose=0, return_dict=True)
        assert {k: v[i] for k, v in logs.items()} == pytest.approx(expected, rel=1e-5)
    rows = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    of_own_rows = population.evaluate(X, Y, rows=rows)
    assert of_own_rows["loss"][2] == pytest.approx(
        population.evaluate(X[6:9], Y[6:9])["loss"][2], rel=1e-5
    )


def test_rows_draws_and_labels_of_each_members_own():
    rng = np.random.default_rng(2)
    order = np.stack([rng.permutation(22)[:16].reshape(2, 8) for _ in MEMBERS])
    draws = rng.integers(0, 2, size=(3, 2, 8, 1))
    labels = rng.integers(0, 3, size=(3, 22)).astype("int32")

    def augment(x, drawn):  # Some of the examples upside down.
        return keras.ops.where(drawn == 1, -x, x)

    raw = (X * 10).astype("int32")
    population = compiled(
        Population(
            plain,
            MEMBERS,
            prepare=lambda x: keras.ops.cast(x, "float32") / 10,
            augment=augment,
        )
    )
    population.train_epoch(raw, None, order, draws=draws, own_y=labels)
    for i, member in enumerate(MEMBERS):
        sam = compiled(SAMModel(plain(member.seed), member.rho))
        for rows, drawn in zip(order[i], draws[i]):
            x = np.where(drawn == 1, -raw[rows], raw[rows]).astype("float32") / 10
            sam.train_on_batch(x, labels[i][rows])
        assert_same(population.network(i), sam.model)


def test_an_order_is_cut_into_batches_of_which_the_last_is_smaller():
    order = np.stack([np.random.default_rng(i).permutation(22)[:19] for i in range(2)])
    members = [Member(3), Member(4, 0.2)]
    population = compiled(Population(plain, members))
    logs = population.train_epoch(X, Y, order, batch_size=8)
    for i, member in enumerate(members):
        sam = compiled(SAMModel(plain(member.seed), member.rho))
        losses = [
            sam.train_on_batch(X[rows], Y[rows], return_dict=True)["loss"]
            for rows in np.split(order[i], [8, 16])
        ]
        mean = np.average(losses, weights=[8, 8, 3])
        assert logs["loss"][i] == pytest.approx(mean, rel=1e-5)
        assert_same(population.network(i), sam.model)


@pytest.mark.slow
def test_sample_weights_and_weighted_metrics():
    weights = np.linspace(0.0, 2.0, 22).astype("float32")
    population = Population(plain, [Member(0, 0.2)])
    arguments = {"loss": "mse", "weighted_metrics": ["mae"]}
    population.compile("sgd", **arguments)
    targets = np.eye(3, dtype="float32")[Y]
    history = population.fit(X, targets, 8, shuffle=False, verbose=0, sample_weight=weights)
    sam = SAMModel(plain(0), 0.2)
    sam.compile("sgd", **arguments)
    logs = sam.fit(X, targets, 8, shuffle=False, verbose=0, sample_weight=weights).history
    assert {k: v[0, 0] for k, v in history.items()} == pytest.approx(
        {k: v[0] for k, v in logs.items()}, rel=1e-5
    )
    assert_same(population.network(0), sam.model)


def test_training_goes_on_exactly_from_saved_states():
    whole, _ = trained(MEMBERS)
    half, _ = trained(MEMBERS, epochs=1)
    other = compiled(Population(build, MEMBERS))
    other.set_states(half.states())
    other.fit(X, Y, BATCH, verbose=0)
    for i in range(3):
        assert_same(other.network(i), whole.network(i), atol=1e-7)


def test_others_begin_by_the_same_programs():
    population, _ = trained([Member(0, 0.1), Member(1, 0.1)], plain)
    members = [Member(5, 0.3), Member(6, 0.2)]
    population.restart(members)
    population.fit(X, Y, BATCH, 2, verbose=0)
    for i, member in enumerate(members):
        assert_same(population.network(i), alone(member, plain)[0].model)
