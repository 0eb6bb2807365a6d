"""All that the paper claims and its readers ask, in the order of the page."""

from __future__ import annotations

from recipes.paper import rows_questions, rows_settings, rows_size, rows_theory

SECTIONS = {
    "The gain against size": rows_size.ROWS,
    "What it depends on besides": rows_settings.ROWS,
    "Theory": rows_theory.ROWS,
    "What readers ask": rows_questions.ROWS,
}
ROWS = tuple(row for rows in SECTIONS.values() for row in rows)

TRIED = (
    "**CIFAR-10, version 0.1, withdrawn.** Where TensorFlow uses oneDNN, the kernel gradient of a "
    "1x1 convolution with stride 2 is wrong for few input channels, and our ResNet-18 of 4 filters "
    "had one. It has none now; `keras_sam.check_model` finds such layers.",
    "**SST-2**: 130 steps at 128 units took 20 s of one core and had not begun to learn (49 %). "
    "**Part-of-speech tags**: one epoch of a small tagger, no accuracy. **Molecules**: one epoch, "
    "average precision .68, without SAM. **Atari**: "
    "nothing but the environment's speed.",
    "**Normalised SAM and the theorems**: it does not converge linearly, see question 1.",
    "**The gain of teacher and student** grows at the last epoch (a prototype: .036, .046, .087), "
    "at the epoch selected on validation it does not (.035, .021, .040), and with a learning rate "
    "proportional to 1/width it falls.",
    "**The linearised regime**: SAM's loss there goes away once rho shrinks as 1/alpha.",
    "**Eq. 7's bound on s_4** as measured with M_4 - H^4 is not necessary for stability where rho "
    "> eta/2: a counterexample in closed form.",
    "**Simulated divergence** is no test of Theorem 9: rare runs carry the mean, single runs still "
    "come nearer at the largest stable step.",
)
