"""What readers of the paper ask, each question put as a claim that experiments can judge."""

from __future__ import annotations

from typing import Any

from recipes.paper.row import Check, Row
from recipes.paper.rows_theory import FACTORS, MINIMA, log_end
from recipes.paper.rules import Rule, about, above, below, falling, rising, within
from recipes.paper.sample import best_rhos, changes, exponents, gains, less, metrics, values

NOISE, SPARSE = "mnist_noise", "mnist_sparse"


def _goes_on(shown: str, study: str, large: float, small: float, **where: Any) -> Check:
    draw = less(gains(width=large, **where), gains(width=small, **where))
    return Check(f"{shown}: gain at width {large:g} less that at {small:g}", study, draw, above)


def _regularised(decay: float) -> Check:
    plain = metrics(rho=0.0, width=1.0, weight_decay=decay)
    return Check(
        f"SAM's accuracy at weight decay 0.0001 less SGD's at {decay:g} (40 % wrong labels)",
        "mnist_regularised",
        less(metrics(width=1.0, weight_decay=1e-4, label_smoothing=0.0), plain),
        above,
    )


_CURVATURES = (("lambda_max", "the largest eigenvalue"), ("s_2", "s_2"))


def _flatness(name: str, shown: str) -> Check:
    draw = values(name, against="sparsity", rho=0.0)
    return Check(f"{shown} of SGD's minimum rises with the sparsity", "minima_sparse", draw, rising)


def _flatter(name: str, shown: str) -> Check:
    draw = changes(name, {"rho": 0.0}, "sparsity", form=".2f", relative=True, rho=0.1)
    says = f"{shown} of SAM's minimum over that of SGD's falls with the sparsity"
    return Check(says, "minima_sparse", draw, falling)


def _time(says: str, network: str, than: dict[str, Any], rule: Rule, **where: Any) -> Check:
    draw = changes(
        "milliseconds", than, form=".2f", relative=True, network=network, method="", **where
    )
    return Check(f"{says}, {network}", "step_time", draw, rule)


def _smoothed(share: float) -> Check:
    plain = metrics(rho=0.0, label_smoothing=share)
    return Check(
        f"SAM's accuracy less SGD's with labels smoothed by {share:g} (40 % wrong labels)",
        "mnist_regularised",
        less(metrics(width=1.0, weight_decay=1e-4, label_smoothing=0.0), plain),
        above,
    )


ROWS = (
    Row(
        "question 1",
        "the linear rate holds for normalised SAM, which everybody uses",
        "proven for the unnormalised one",
        (
            Check(
                "log10 of f - f* after 60 epochs, normalised SAM, ranks 6 and 10",
                FACTORS,
                values(log_end, form=".1f", step="normalised", rank=(6, 10)),
                within(most=-20.0),
            ),
        ),
        note="its perturbation is rho long however small the gradient: on a parabola it ends in "
        "the two-cycle |x| = eta lambda rho / (2 - eta lambda)",
    ),
    Row(
        "question 2",
        "flatter minima explain the gain",
        "SAM's minima are flatter; no number ties it to the gain",
        (
            Check(
                "over SGD and two radii, accuracy rises as the largest eigenvalue falls",
                MINIMA,
                values(lambda r: 100 * r["test_accuracy"], against="rho", form=".2f"),
                rising,
            ),
            Check(
                "with the width, SAM's largest eigenvalue falls further below SGD's (ratio)",
                "minima_width",
                changes("lambda_max", {"rho": 0.0}, "width", form=".2f", relative=True, rho=0.1),
                falling,
            ),
            Check(
                "and so does s_2 (ratio)",
                "minima_width",
                changes("s_2", {"rho": 0.0}, "width", form=".2f", relative=True, rho=0.1),
                falling,
            ),
            Check(
                "while the gain in points rises",
                "minima_width",
                changes(lambda r: 100 * r["test_accuracy"], {"rho": 0.0}, "width", "+.2f", rho=0.1),
                rising,
            ),
        ),
        note="unnormalised SAM, 1,000 images. In `minima` the eigenvalue falls with every rho, so "
        "x is rho. That two things go together does not say which is the cause",
    ),
    Row(
        "question 3",
        "the trend goes on at the largest sizes",
        "it levels off or turns on most: CIFAR-10 +1.23 (45M), +1.01 (179M); SST-2 +1.22 (5.8M), "
        "+1.15 (15.1M)",
        (
            _goes_on("MNIST, 40 % wrong labels", NOISE, 2.0, 1.0, label_noise=0.4),
            _goes_on("MNIST, 60 %", NOISE, 2.0, 1.0, label_noise=0.6),
            _goes_on("digits", "digits", 1.6, 0.8),
            _goes_on("CIFAR-10, ResNet-18, GPU", "cifar10_resnet18_gpu", 64.0, 32.0),
        ),
    ),
    Row(
        "question 4",
        "it is the small data, not the architecture, for which the ViT's gain fades",
        "not tried",
        unaffordable="`python -m tuning.rho_search cifar10_vit --take N` at several N, and a "
        "larger data set: each a study of hours on a GPU",
    ),
    Row(
        "question 5",
        "there is one rule for rho, a power of the number of weights with a positive exponent",
        "best rho of .01 to .2 for 45k to 179M weights would be an exponent of about .36",
        tuple(
            Check(f"exponent, {shown}", study, exponents(**where), above)
            for shown, study, where in (
                ("digits", "digits", {}),
                ("MNIST", NOISE, {"label_noise": 0.0}),
                ("MNIST, 40 % wrong labels", NOISE, {"label_noise": 0.4}),
                ("CIFAR-10, ResNet-18, GPU", "cifar10_resnet18_gpu", {}),
            )
        ),
        note="the slope of log(best rho) on log(weights), seed by seed; one rule carries over only "
        "where the exponents are alike",
    ),
    Row(
        "question 6",
        "sparse networks end in sharper minima, which SAM flattens by more",
        "not tried",
        tuple(_flatness(name, shown) for name, shown in _CURVATURES)
        + tuple(_flatter(name, shown) for name, shown in _CURVATURES),
        note="random pruning; unnormalised SAM at rho .1, as in `minima`. Whether this is why "
        "sparsity helps SAM it does not say",
    ),
    Row(
        "question 7",
        "the number of weights that a mask keeps decides the best rho",
        "not tried",
        tuple(
            Check(
                f"best rho rises with the weights kept of width 1, {pruner}",
                SPARSE,
                best_rhos(width=1.0, pruner=pruner, sparsity=(0.529, 0.7724, 0.9115)),
                rising,
            )
            for pruner in ("random", "snip")
        ),
        note="among the radii .05, .1 and .2",
    ),
    Row(
        "question 8",
        "no simpler regulariser does what SAM does",
        "not tried",
        (
            _regularised(0.001),
            _regularised(0.01),
            _smoothed(0.1),
            _smoothed(0.4),
            Check(
                "SAM's gain over SGD stopped early (40 % wrong labels, width 1)",
                NOISE,
                gains(width=1.0, label_noise=0.4),
                above,
            ),
        ),
        note="mixup and adversarial inputs: open, no recipe has them",
    ),
    Row(
        "question 9",
        "without interpolation SAM goes to a floor as SGD does, and not to a higher one",
        "not stated",
        (
            Check(
                "log10 of unnormalised SAM's floor (rho .1) less that of SGD's, ranks 2 and 4",
                FACTORS,
                changes(
                    log_end,
                    {"step": "SGD", "rho": 0.0},
                    form="+.2f",
                    step="unnormalised",
                    rho=0.1,
                    rank=(2, 4),
                ),
                below,
            ),
            Check(
                "both are floors: log10 of f - f* after 60 epochs",
                FACTORS,
                values(log_end, form=".1f", step=("SGD", "unnormalised"), rank=(2, 4)),
                within(least=-10.0),
            ),
        ),
    ),
    Row(
        "question 10",
        "a step of SAM costs two of SGD's, and masks cost nothing",
        "2 gradients",
        (
            _time(
                "SAM over SGD",
                "mlp",
                {"rho": 0.0, "sparsity": 0.0},
                about(1.0, 2.1),
                rho=0.05,
                sparsity=0.0,
            ),
            _time(
                "SAM over SGD",
                "resnet18",
                {"rho": 0.0, "sparsity": 0.0},
                about(1.0, 2.1),
                rho=0.05,
                sparsity=0.0,
            ),
            _time(
                "SAM with masks over SAM",
                "resnet18",
                {"sparsity": 0.0},
                about(0.9, 1.1),
                rho=0.05,
                sparsity=0.9,
            ),
        ),
        note="docs/costs.md has memory, other backends and other methods",
    ),
)
