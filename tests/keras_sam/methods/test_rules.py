"""Each rule by itself, on numbers that can be checked by hand."""

import dataclasses
import re

import keras
import numpy as np
import pytest
from keras import ops

from keras_sam import Every
from keras_sam.methods import (
    GEOMETRIES,
    GSAM,
    METHODS,
    Descent,
    Friendly,
    LookSAM,
    Method,
    Mix,
    Momentum,
    MovingAverage,
    Radius,
    Setting,
    WhereSharp,
    ae_sam,
    friendly,
    gsam,
    layerwise,
    looksam,
    mix,
    msam,
    sign,
    vasso,
)


def vector(*entries):
    return [ops.convert_to_tensor(np.array(entries, "float32"))]


def numbers(tensors):
    return [float(x) for t in tensors for x in np.ravel(ops.convert_to_numpy(t))]


def test_gsam():
    # g is (1, 1); along g' it is (1, 0), across it (0, 1).
    h, state = GSAM(0.5).perturbed(vector(1, 1), vector(2, 0), [])
    assert numbers(h) == [2.0, -0.5]
    assert state == []
    assert numbers(GSAM(0.5).plain(vector(1, 1), [])[0]) == [1.0, 1.0]


def test_mix():
    assert numbers(Mix(0.25).perturbed(vector(1, 2), vector(5, 6), [])[0]) == [2.0, 3.0]
    assert numbers(Mix(4.0).perturbed(vector(1, 2), vector(2, 2), [])[0]) == [5.0, 2.0]


def test_looksam_remembers_what_is_across_until_the_next_refresh():
    rule = LookSAM(0.5)
    state = rule.state(vector(0, 0))
    h, state = rule.plain(vector(1, 2), state)
    assert numbers(h) == [1.0, 2.0]  # Nothing to remember yet.
    h, state = rule.perturbed(vector(2, 0), vector(2, 1), state)
    assert (numbers(h), numbers(state)) == ([2.0, 1.0], [0.0, 1.0])
    h, state = rule.plain(vector(4, 3), state)  # ||g|| = 5
    np.testing.assert_allclose(numbers(h), [4.0, 5.5], rtol=1e-6)
    h, state = rule.perturbed(vector(0, 1), vector(-3, 1), state)
    assert (numbers(h), numbers(state)) == ([-3.0, 1.0], [-1.0, 0.0])


def test_friendly_uses_the_average_before_the_gradient_enters_it():
    rule = Friendly(sigma=0.5, decay=0.75)
    seen, state = [], rule.state(vector(0))
    for g in (4.0, 2.0, 2.0):  # m: 0, 4, 3.5
        d, state = rule(vector(g), state)
        seen += numbers(d)
    assert seen == [4.0, 0.0, 0.25]


def test_vasso_is_a_moving_average_that_starts_at_the_first_gradient():
    rule = MovingAverage(theta=0.25)
    seen, state = [], rule.state(vector(0))
    for g in (4.0, 0.0, 8.0):
        d, state = rule(vector(g), state)
        seen += numbers(d)
    assert seen == [4.0, 3.0, 4.25]


def test_momentum_points_against_the_sum_of_gradients():
    rule = Momentum(decay=0.5)
    seen, state = [], rule.state(vector(0))
    for g in (2.0, 4.0, 0.0):
        seen += numbers(rule([], state)[0])
        state = rule.after(vector(g), state)
    assert seen == [0.0, -2.0, -5.0]


@pytest.mark.parametrize(("c", "expected"), [(1.0, [0.5, 0.5, 0.0]), (-1.0, [0.5, 0.5, 0.5])])
def test_where_sharp(c, expected):
    # s = 1, 9, 1; mean 1, 5, 3; variance 0, 8, 6: 9 >= 5 + 2.8; 1 < 3 + 2.4, 1 >= 3 - 2.4.
    rule = WhereSharp(c, decay=0.5)
    seen, state = [], rule.state(vector(0))
    for g in (1.0, 3.0, 1.0):
        rho, state = rule(0.5, vector(g), state)
        seen += numbers([rho])
    assert seen == expected
    np.testing.assert_allclose(numbers(state), [1.0, 3.0, 6.0], rtol=1e-6)


def test_where_sharp_keeps_its_statistics_where_a_square_overflows():
    rule = WhereSharp(c=1.0)
    _, state = rule(0.5, vector(1.0), rule.state(vector(0)))
    rho, after = rule(0.5, vector(1e30), state)
    assert numbers([rho]) == [0.5]
    assert numbers(after) == numbers(state)
    assert numbers([rule(0.5, vector(0.5), after)[0]]) == [0.0]


def test_layerwise_goes_in_proportion_to_each_tensor():
    w, g = [*vector(3, 4), *vector(0, 0), *vector(2)], [*vector(0, 7), *vector(1, 1), None]
    e = layerwise(w, g, 0.1)
    np.testing.assert_allclose(numbers(e[:2]), [0.0, 0.5, 0.0, 0.0], rtol=1e-6)
    assert e[2] is None


def test_sign_moves_every_entry_alike():
    e = sign(vector(1, 1, 1), [*vector(-3, 0, 1e-20)], 0.25)
    assert numbers(e) == [-0.25, 0.0, 0.25]


def test_a_direction_that_is_not_the_gradient_still_goes_rho_far():
    from keras_sam.sam_gradient import sam_gradient

    def loss(w):
        return (ops.sum(w[0]), None), vector(0, 5)

    method = friendly(sigma=1.0, decay=0.0)
    state = [[], [ops.ones(()), *vector(5, 5)], []]
    result = sam_gradient(loss, vector(0, 0), 0.5, method=method, state=state, observe=True)
    np.testing.assert_allclose(float(result.ascent.perturbation_norm), 0.5, rtol=1e-6)
    np.testing.assert_allclose(float(result.ascent.rise), -0.5, rtol=1e-6)  # Along (-5, 0).


# Methods as values.

PRESETS = {
    "gsam": (gsam(0.3), Method(descent=GSAM(0.3))),
    "mix": (mix(0.3), Method(descent=Mix(0.3))),
    "looksam": (looksam(0.3), Method(descent=LookSAM(0.3))),
    "friendly": (friendly(0.3, 0.4), Method(direction=Friendly(0.3, 0.4))),
    "vasso": (vasso(0.3), Method(direction=MovingAverage(0.3))),
    "msam": (msam(0.3), Method(direction=Momentum(0.3))),
    "ae_sam": (ae_sam(0.3, 0.4), Method(radius=WhereSharp(0.3, 0.4))),
}


def test_every_method_has_a_name():
    assert METHODS.keys() == {"sam", *PRESETS}
    assert METHODS["sam"]() == Method()
    assert {"layerwise": layerwise, "sign": sign} == GEOMETRIES


@pytest.mark.parametrize("name", PRESETS)
def test_methods_are_values(name):
    """Equal, hashed and written to a config by what they say."""
    preset, method = PRESETS[name]
    assert preset == method
    assert hash(preset) == hash(method)
    assert preset != METHODS[name]()
    config = keras.saving.serialize_keras_object(preset)
    assert keras.saving.deserialize_keras_object(config) == preset
    with pytest.raises(dataclasses.FrozenInstanceError):
        preset.descent = Descent()


def test_methods_join():
    joined = friendly() | gsam(0.3) | ae_sam()
    assert joined == Method(WhereSharp(), Friendly(), GSAM(0.3))
    assert Method() | joined == joined == joined | Method()
    assert gsam(0.3) | gsam(0.3) == gsam(0.3)
    with pytest.raises(ValueError, match=r"descent each cannot be joined.*GSAM.*Mix"):
        gsam() | mix()
    with pytest.raises(ValueError, match=r"direction each cannot be joined.*Friendly.*Momentum"):
        friendly() | msam()


def test_states_have_the_weights_dtypes_and_shapes():
    weights = [ops.ones((2, 3), "bfloat16"), ops.ones(4, "float32")]
    for method in (looksam(), friendly(), vasso(), msam()):
        tensors = [t for rule in method.state(weights) for t in rule if len(t.shape) > 0]
        assert [(tuple(t.shape), t.dtype) for t in tensors] == [
            (tuple(w.shape), w.dtype) for w in weights
        ]
    assert METHODS["gsam"]().state(weights) == ([], [], [])


BAD_RULES = {
    "gsam": (lambda: gsam(-0.1), "`alpha` must be a number in [0, inf). Received: `alpha=-0.1`"),
    "gsam nan": (lambda: gsam(float("nan")), "`alpha` must be a number in [0, inf)"),
    "gsam inf": (lambda: gsam(float("inf")), "`alpha` must be a number in [0, inf)"),
    "mix": (lambda: mix(-1), "`alpha` must be a number in [0, inf). Received: `alpha=-1`"),
    "looksam": (lambda: looksam(-1), "`alpha` must be a number in [0, inf). Received: `alpha=-1`"),
    "sigma": (lambda: friendly(sigma=-1), "`sigma` must be a number in [0, inf)"),
    "decay": (lambda: friendly(decay=1), "`decay` must be a number in [0, 1). Received: `decay=1`"),
    "theta 0": (lambda: vasso(0), "`theta` must be a number in (0, 1]. Received: `theta=0`"),
    "theta": (lambda: vasso(1.5), "`theta` must be a number in (0, 1]. Received: `theta=1.5`"),
    "momentum": (lambda: msam(1.0), "`decay` must be a number in [0, 1)"),
    "c": (lambda: ae_sam(float("nan")), "`c` must be a number in [-inf, inf]. Received: `c=nan`"),
    "ae decay": (lambda: ae_sam(decay=-0.1), "`decay` must be a number in [0, 1)"),
}


@pytest.mark.parametrize("name", BAD_RULES)
def test_parameters_out_of_range(name):
    make, message = BAD_RULES[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize("value", ["0.5", None, True, 1j, [0.5]])
def test_parameters_that_are_no_numbers(value):
    for make in (gsam, mix, looksam, friendly, vasso, msam, ae_sam):
        with pytest.raises(TypeError, match="must be a number in.*Received: `"):
            make(value)


def test_rules_of_another_kind():
    with pytest.raises(TypeError, match=r"`radius` must be a keras_sam.methods.Radius. Received"):
        Method(radius=GSAM())
    with pytest.raises(TypeError, match=r"`direction` must be a keras_sam.methods.Direction"):
        Method(direction=0.5)


REFUSED = {
    "msam, steps": (Setting(msam(), 0.1, ascent_steps=2), "`ascent_steps` must be 1 with msam"),
    "msam, splits": (Setting(msam(), 0.1, num_batch_splits=2), "`num_batch_splits` must be None"),
    "msam, logs": (Setting(msam(), 0.1, log_ascent=True), "`log_ascent` must be False with msam"),
    "msam, gsam": (Setting(msam() | gsam(), 0.1), "`method.descent` must be that of SAM"),
    "msam, ae_sam": (Setting(msam() | ae_sam(), 0.1), "`method.radius` must be that of SAM"),
    "ae_sam, every": (Setting(ae_sam(), Every(0.1, 2)), "`rho` must not be an Every with ae_sam"),
    "sync, steps": (
        Setting(Method(), Every(0.1, 2), ascent_steps=2, sync_perturbation=True),
        "`ascent_steps` must be 1 where `sync_perturbation=True`",
    ),
    "sync, steps, ae_sam": (
        Setting(ae_sam(), 0.1, ascent_steps=2, sync_perturbation=True),
        "`ascent_steps` must be 1 where `sync_perturbation=True`",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_go_together(name):
    setting, message = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(message) + "(?s:.*)Received: "):
        setting.check()


def test_what_goes_together():
    for setting in (
        Setting(Method(), 0.1, ascent_steps=2, sync_perturbation=True),
        Setting(Method(), Every(0.1, 2), ascent_steps=2),
        Setting(msam(), Every(0.1, 2), sync_perturbation=True),
        Setting(ae_sam() | looksam(), 0.1, num_batch_splits=2, log_ascent=True),
    ):
        setting.check()


def test_what_switches():
    assert not Setting(looksam(), 0.1).switches
    assert Setting(Method(), Every(0.1, 2)).switches
    assert Setting(ae_sam(), 0.1).switches
    assert not Radius.switches


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_direction_of_narrow_weights_is_made_unit_in_float32(dtype):
    """The squares of a short mean of several directions vanish in float16."""
    g = [ops.ones(2**10, dtype)]  # ||g|| = 2^5
    mean = [ops.full((2**10,), 2.0**-13, dtype)]  # ||mean|| = 2^-8
    (h,), (u,) = LookSAM(1.0).plain(g, mean)
    np.testing.assert_array_equal(ops.convert_to_numpy(ops.cast(u, "float32")), 2.0**-5)
    np.testing.assert_array_equal(ops.convert_to_numpy(ops.cast(h, "float32")), 2.0)
