"""A line of the page: a claim, the checks that judge it, and the verdict that follows from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from recipes.paper.rules import Finding, Rule
from recipes.paper.sample import Draw, Sample
from recipes.paper.study import Study

AGREES = "agrees"
IN_PART = "agrees in part"
NOT_SHOWN = "does not show"
DISAGREES = "disagrees"
NOT_AFFORDABLE = "not affordable here"
OPEN = "open"
VERDICTS = (AGREES, IN_PART, NOT_SHOWN, DISAGREES, NOT_AFFORDABLE, OPEN)


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that must be seen if the claim is true.

    Args:
        says: What, in a few words: "the gain rises with size".
        study: The name of the study that it is looked for in.
        draw: The numbers.
        rule: What they say.
    """

    says: str
    study: str
    draw: Draw
    rule: Rule


@dataclasses.dataclass(frozen=True)
class Row:
    """A claim of the paper, or a question that its readers ask, as a claim.

    Args:
        place: Where in the paper; "question 3" for one of its readers'.
        claim: What is claimed.
        paper: The paper's own number.
        checks: What must be seen. Defaults to nothing: then `note` says why.
        unaffordable: The command line and the time that it would take, where it is too much for the
            machines that we have. Defaults to none.
        note: What else a reader must know: what was tried, an older table, what is missing.
    """

    place: str
    claim: str
    paper: str
    checks: tuple[Check, ...] = ()
    unaffordable: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not (self.checks or self.unaffordable or self.note):
            raise ValueError(
                "`checks`, `unaffordable` and `note` must not all be empty. "
                f"Received: claim {self.claim!r}"
            )

    def judged(self, studies: Mapping[str, Study]) -> list[tuple[Check, Finding | None, str]]:
        """Each check with what it finds and the numbers; `None` where there are none."""
        found: list[tuple[Check, Finding | None, str]] = []
        for check in self.checks:
            study = studies.get(check.study)
            sample = Sample(()) if study is None else check.draw(study)
            known = bool(sample.points)
            found.append((check, check.rule(sample) if known else None, str(sample)))
        return found

    def verdict(self, studies: Mapping[str, Study]) -> str:
        """One of `VERDICTS`."""
        findings = [finding for _, finding, _ in self.judged(studies)]
        return verdict(findings, affordable=not self.unaffordable)


def verdict(findings: Sequence[Finding | None], affordable: bool = True) -> str:
    """What checks together say.

        all hold                                   agrees
        some hold                                  agrees in part
        none holds, of one at least the opposite   disagrees
        none holds, nor an opposite                does not show
        none could be made                         open, or not affordable here

    A check that could not be made holds as little as one that does not show.

    Args:
        findings: Of each check; `None` of one that could not be made.
        affordable: Whether what is missing could be run here. Defaults to `True`.

    Example:

    >>> verdict([Finding(1, ""), Finding(0, ""), None])
    'agrees in part'
    """
    made = [finding.holds for finding in findings if finding is not None]
    if not made:
        return OPEN if affordable else NOT_AFFORDABLE
    if all(holds == 1 for holds in made) and len(made) == len(findings):
        return AGREES
    if 1 in made:
        return IN_PART
    return DISAGREES if -1 in made else NOT_SHOWN
