"""RunConfig: validation, JSON, and names that no two runs share."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.running.config import RunConfig

DEFAULT = RunConfig(recipe="digits", options={"patch": 4})

CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "width": st.floats(0.01, 1000),
        "rho": st.floats(0, 10),
        "adaptive": st.booleans(),
        "num_batch_splits": st.none() | st.integers(1, 9),
        "sparsity": st.floats(0, 1, exclude_max=True),
        "pruner": st.sampled_from(["random", "snip"]),
        "label_noise": st.floats(0, 1),
        "seed": st.integers(0, 10**6),
        "data_seed": st.none() | st.integers(0, 10**6),
        "weight_decay": st.floats(0, 1),
        "milestones": st.sampled_from([(), (0.5,), (0.25, 0.5, 0.75)]),
        "mixed_precision": st.sampled_from([None, "float16", "bfloat16"]),
        "options": st.sampled_from([{"patch": 2}, {"patch": 4}, {"patch": 4, "heads": 3}]),
    },
)


@given(CHANGES)
def test_json_round_trip(changes):
    config = DEFAULT.replace(**changes)
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@given(CHANGES, CHANGES)
def test_two_runs_share_a_name_only_if_they_are_the_same(first, second):
    a, b = DEFAULT.replace(**first), DEFAULT.replace(**second)
    assert (a.name(DEFAULT) == b.name(DEFAULT)) == (a == b)
    assert a.differences(a) == {}
    assert bool(a.differences(b)) == (a != b)


def test_the_name_holds_every_setting_that_differs():
    config = DEFAULT.replace(
        width=4, rho=0.05, milestones=[0.25, 0.5], seed=3, options={"patch": 2}
    )
    assert config.name(DEFAULT) == "width=4,rho=0.05,seed=3,milestones=0.25+0.5,patch=2"
    assert DEFAULT.name(DEFAULT) == "default"


def test_a_long_name_is_cut_and_stays_unique():
    options = {f"option_number_{index}": index for index in range(40)}
    first = DEFAULT.replace(options=options)
    second = DEFAULT.replace(options={**options, "option_number_39": 0})
    names = {config.name(DEFAULT) for config in (first, second)}
    assert len(names) == 2
    assert max(map(len, names)) <= 200


def test_differences_name_both_values():
    assert DEFAULT.replace(rho=0.1, options={"patch": 2}).differences(DEFAULT) == {
        "rho": (0.1, 0.0),
        "patch": (2, 4),
    }


def test_numbers_have_one_form():
    assert DEFAULT.replace(width=4) == DEFAULT.replace(width=4.0)
    assert isinstance(DEFAULT.replace(width=4).width, float)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rho": -0.1}, "`rho` must be >= 0"),
        ({"rho": float("nan")}, "`rho` must be finite"),
        ({"width": 0}, "`width` must be > 0"),
        ({"sparsity": 1.0}, r"`sparsity` must be in \[0, 1\)"),
        ({"label_noise": 1.1}, r"`label_noise` must be in \[0, 1\]"),
        ({"label_smoothing": 1.0}, r"`label_smoothing` must be in \[0, 1\)"),
        ({"epochs": 0}, "`epochs` must be >= 1"),
        ({"seed": -1}, "`seed` must be >= 0"),
        ({"milestones": (0.5, 0.5)}, "`milestones` must be rising"),
        ({"milestones": (1.0,)}, "`milestones` must be rising"),
        ({"decay": 1.5}, r"`decay` must be in \(0, 1\]"),
        ({"schedule": "linear"}, "`schedule` must be one of constant, step, cosine"),
        ({"pruner": "bogus"}, "`pruner` must be one of random, magnitude, snip, grasp, synflow"),
        ({"seed": 2**32}, r"`seed` must be below 2\^32"),
        ({"options": {"seed": 1}}, "`options` must not have the names of other settings"),
        ({"options": {"rho": 1}}, "`options` must not have the names of other settings"),
        ({"optimizer": "lion"}, "`optimizer` must be one of sgd"),
        ({"mixed_precision": "int8"}, "`mixed_precision` must be one of float16"),
        ({"validation_split": 0.0}, r"`validation_split` must be in \(0, 1\)"),
        ({"optimizer": "adam", "weight_decay": 0.1}, "`weight_decay` must be 0 with"),
    ],
)
def test_values_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message + r".*Received: `"):
        DEFAULT.replace(**changes)


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1.5}, {"seed": True}, {"rho": "0.1"}, {"adaptive": 1}, {"milestones": 0.5}],
)
def test_values_of_the_wrong_type(changes):
    (name,) = changes
    with pytest.raises(TypeError, match=f"`{name}` must be of type .*Received: `{name}="):
        DEFAULT.replace(**changes)


def test_unknown_settings_are_refused():
    for call in (lambda: DEFAULT.replace(rhos=1), lambda: RunConfig.from_dict({"rhos": 1})):
        with pytest.raises(ValueError, match="Received: `rhos`"):
            call()


OPTIONS = st.one_of(
    st.integers(-3, 30),
    st.floats(0, 2),
    st.booleans(),
    st.none(),
    st.sampled_from(["2", "2.0", "a/b", "a|b", "True", "None", "", "'2'", "a,b=c", "..", "%2F"]),
)


@given(
    st.dictionaries(st.sampled_from(["x", "y"]), OPTIONS),
    st.dictionaries(st.just("x"), OPTIONS),
)
def test_options_that_differ_never_share_a_name(first, second):
    base = RunConfig(recipe="digits")
    a, b = base.replace(options=first), base.replace(options=second)
    kinds = [{k: (v, isinstance(v, bool)) for k, v in each.items()} for each in (first, second)]
    assert (a.name(base) == b.name(base)) == (kinds[0] == kinds[1])
    assert "/" not in a.name(base)


def test_the_pruners_are_those_of_the_library():
    from keras_sam.sparsity.pruning import SCORES
    from recipes.running.config import PRUNERS

    assert set(PRUNERS) == set(SCORES)
