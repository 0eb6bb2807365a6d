"""Every argument of the public signatures, given odd values: success, or an error that names it."""

import inspect
import re

import keras
import numpy as np
import pytest

import keras_sam
from keras_sam import methods, optimizers, sharpness, sparsity
from keras_sam.callbacks import SharpnessCallback
from recipes.datasets.split import Split
from recipes.running.config import RunConfig
from recipes.running.runtime import Runtime
from tuning.rho_rule import RhoRule
from tuning.rho_search import RhoSearch
from tuning.space import Space

X, Y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")

# Names are those of test ids and messages.
ODD = {
    "None": None,
    "True": True,
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": -float("inf"),
    "-1": -1,
    "0": 0,
    "2.5": 2.5,
    "1e39": 1e39,
    "10**400": 10**400,
    "1j": 1j,
    "no": "no",
    "empty string": "",
    "bytes": b"0.1",
    "list": [],
    "list of None": [None],
    "dict": {},
    "dict of str": {"no": 1},
    "object": object(),
    "array": np.array([0.1, 0.2]),
    "array of str": np.array(["a"]),
    "ragged": [[1.0], [1.0, 2.0]],
}
# No argument but one that may be anything takes these.
NEVER = ("object", "bytes", "1j")


def net():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    return model


def made(function, **base):
    """A function that is called with base arguments, made anew for each call by lambdas."""
    return function, base


def given_a_surface(function, **base):
    return made(function, model=lambda: SURFACE, **base)


NET = net()
SURFACE = sharpness.LossSurface(NET, (X, Y))
SCHEDULE = keras.optimizers.schedules.CosineDecay(0.1, 10)
CALLS = {
    "SAMModel": made(
        keras_sam.SAMModel,
        model=net,
        rho=0.1,
        num_batch_splits=2,
        normalize=True,
        adaptive=False,
        sync_perturbation=False,
        method="sam",
        perturb="all",
        geometry=None,
        eta=0.01,
        ascent_steps=1,
        log_ascent=False,
        masks=None,
    ),
    "Every": made(keras_sam.Every, rho=0.1, k=2),
    "Late": made(keras_sam.Late, rho=0.1, start=3, total=None),
    "Follow": made(
        keras_sam.Follow, learning_rate=SCHEDULE, rho_min=0.1, rho_max=0.2, lr_min=0.0, lr_max=0.1
    ),
    "check_model": made(
        keras_sam.check_model, model=lambda: NET, batch=lambda: (X, Y), rho=0.1, tolerance=0.1
    ),
    "SGD": made(optimizers.SGD, weight_decay=0.1),
    "Method": made(
        methods.Method,
        radius=methods.Radius(),
        direction=methods.Direction(),
        descent=methods.Descent(),
    ),
    "ae_sam": made(methods.ae_sam, c=0.0, decay=0.9),
    "WhereSharp": made(methods.WhereSharp, c=0.0, decay=0.9),
    "friendly": made(methods.friendly, sigma=1.0, decay=0.9),
    "Friendly": made(methods.Friendly, sigma=1.0, decay=0.9),
    "gsam": made(methods.gsam, alpha=0.4),
    "GSAM": made(methods.GSAM, alpha=0.4),
    "looksam": made(methods.looksam, alpha=0.4),
    "LookSAM": made(methods.LookSAM, alpha=0.4),
    "mix": made(methods.mix, alpha=0.4),
    "Mix": made(methods.Mix, alpha=0.4),
    "msam": made(methods.msam, decay=0.9),
    "Momentum": made(methods.Momentum, decay=0.9),
    "vasso": made(methods.vasso, theta=0.9),
    "MovingAverage": made(methods.MovingAverage, theta=0.9),
    "LossSurface": made(
        sharpness.LossSurface,
        model=lambda: NET,
        data=lambda: (X, Y),
        batch_size=2,
        max_examples=3,
        training=False,
        regularization=True,
    ),
    "SharpnessCallback": made(
        SharpnessCallback,
        data=lambda: (X, Y),
        every=1,
        measures=("trace",),
        rho=0.05,
        num_samples=2,
        tolerance=0.1,
        max_products=10,
        seed=0,
    ),
    "hessian_eigenvalues": given_a_surface(
        sharpness.hessian_eigenvalues,
        data=None,
        k=1,
        which="LA",
        tolerance=0.1,
        max_products=1000,
        seed=0,
    ),
    "hessian_trace": given_a_surface(sharpness.hessian_trace, data=None, num_samples=2, seed=0),
    "hessian_density": given_a_surface(
        sharpness.hessian_density, data=None, num_samples=2, steps=3, seed=0
    ),
    "HessianOperator": given_a_surface(sharpness.HessianOperator, data=None),
    "MomentDeviation": given_a_surface(sharpness.MomentDeviation, data=None, k=2),
    "non_uniformity": given_a_surface(
        sharpness.non_uniformity, data=None, k=2, tolerance=0.1, max_products=1000, seed=0
    ),
    "sam_sharpness": given_a_surface(
        sharpness.sam_sharpness, data=None, rho=0.1, steps=1, adaptive=False, m=None
    ),
    "average_sharpness": given_a_surface(
        sharpness.average_sharpness, data=None, rho=0.1, num_samples=2, adaptive=False, seed=0
    ),
    "loss_landscape": given_a_surface(
        sharpness.loss_landscape, data=None, dimensions=1, radius=1.0, points=3, seed=0
    ),
    "loss_between": made(
        sharpness.loss_between,
        model=lambda: NET,
        other=lambda: NET,
        data=lambda: (X, Y),
        positions=[0.0, 1.0],
    ),
    "filter_normalized": made(
        sharpness.filter_normalized, direction=[np.ones((2, 2))], weights=[np.ones((2, 2))]
    ),
    "plot_landscapes": made(
        sharpness.plot_landscapes,
        landscapes=lambda: sharpness.loss_landscape(SURFACE, points=3),
        path=None,
    ),
    "prune": made(
        sparsity.prune,
        model=net,
        sparsity=0.5,
        score="magnitude",
        distribution="global",
        structure="unstructured",
        data=None,
        loss=None,
        seed=0,
        filter=None,
        rounds=1,
    ),
    "prune by data": made(
        sparsity.prune, model=net, sparsity=0.5, score="snip", data=lambda: (X, Y), loss="mse"
    ),
    "prunable": made(
        sparsity.prunable,
        layer=lambda: NET.layers[0],
        variable=lambda: NET.trainable_variables[0],
    ),
    "sparsity_for_budget": made(sparsity.sparsity_for_budget, model=net, parameters=5, filter=None),
    "strip": made(sparsity.strip, model=net),
    "summary": made(sparsity.summary, model=net, masks=None),
    "PolynomialPruning": made(
        sparsity.PolynomialPruning,
        final_sparsity=0.5,
        begin_step=0,
        end_step=10,
        frequency=2,
        initial_sparsity=0.0,
        power=3.0,
        distribution="uniform",
        filter=None,
    ),
    "SET": made(sparsity.SET, frequency=2, fraction=0.3, begin_step=0, end_step=9, seed=0),
    "RigL": made(
        sparsity.RigL, data=lambda: (X, Y), end_step=9, frequency=2, fraction=0.3, begin_step=0
    ),
    "Split": made(Split, **Split().__dict__),
    "Space": made(Space, **Space().__dict__),
    "RhoRule": made(RhoRule, a=0.001, b=0.5, sigma=0.1, sizes=(100, 1000, 10000)),
    "RhoSearch": made(
        RhoSearch,
        build_model=lambda: net,
        rhos=(0.1, 0.2),
        seeds=2,
        objective="val_accuracy",
        strategy="grid",
        trials=3,
        directory=None,
        population=False,
    ),
    "RunConfig": made(RunConfig, **RunConfig(recipe="digits").__dict__),
    "Runtime": made(Runtime, **Runtime().__dict__),
}
# What is not called by users, or is a result; or is tried by tests of its own.
NOT_HERE = {
    "Descent", "Direction", "Estimate", "Landscape", "Member", "ModelCheck", "NotConvergedError",
    "Only", "Population", "Radius", "Setting", "SpectralDensity", "layerwise", "sign",
}  # fmt: skip
# Looked at in `fit`, when there is a model.
IN_FIT = [("SharpnessCallback", "data"), ("RigL", "data")]
# Handed on to `keras.Model.compile` or to the model, whose errors these are.
HANDED_ON = [
    ("prune", "loss"),
    ("prune by data", "loss"),
    ("LossSurface", "data"),
    ("loss_between", "data"),
]
ARGUMENTS = [(name, argument) for name, (_, base) in CALLS.items() for argument in base]


def called(name, **changed):
    function, base = CALLS[name]
    arguments = {
        key: value() if inspect.isfunction(value) else value for key, value in base.items()
    }
    return function(**{**arguments, **changed})


@pytest.mark.parametrize("name", CALLS)
def test_the_base_arguments_are_right(name):
    called(name)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # Where "no" is a path.


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_odd_values_succeed_or_are_refused_by_name(name, argument):
    wrong = []
    for label, value in ODD.items():
        try:
            called(name, **{argument: value})
        except (TypeError, ValueError) as error:
            if (name, argument) not in HANDED_ON and not re.search(rf"\b{argument}\b", str(error)):
                wrong.append(_line(label, error) + " (not named)")
        except Exception as error:
            if (name, argument) not in HANDED_ON:
                wrong.append(_line(label, error))
        else:
            if label in NEVER and (name, argument) not in IN_FIT:
                wrong.append(f"{label}: accepted")
    assert not wrong, "\n".join(wrong)


def _line(label, error):
    return " ".join(f"{label}: {type(error).__name__}: {error}".split())[:200]


@pytest.mark.parametrize("module", [keras_sam, methods, sharpness, sparsity])
def test_every_public_callable_is_tried(module):
    public = {name for name in module.__all__ if callable(getattr(module, name))}
    assert public - NOT_HERE <= {name.split()[0] for name in CALLS}


def test_every_named_argument_is_tried():
    missing = {}
    for name, (function, base) in CALLS.items():
        if name == "prune by data":
            continue
        kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        parameters = inspect.signature(function).parameters.values()
        named = {p.name for p in parameters if p.kind not in kinds} - set(base)
        # Of Keras.
        named -= {"name"} | ({"learning_rate", "momentum", "nesterov"} if name == "SGD" else set())
        if named:
            missing[name] = named
    assert missing == {}
