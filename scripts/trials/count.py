"""Runs counted against the truth."""

from dataclasses import asdict, dataclass
from typing import Any

from eigexp.certificates import certify
from eigexp.pairs import EigenPairs
from scripts.trials.questions import Question
from scripts.trials.subjects import Subject

SLACK = 1e-12  # of the largest eigenvalue: rounding of the truth


@dataclass(frozen=True)
class Claim:
    """One printed eigenvalue beside the truth; `excess` is how far the truth lies outside the interval, relative to lambda_1."""

    family: str
    variant: int
    group: str
    solver: str
    dtype: str
    seed: int
    image: int
    eigenindex: int
    evidence: str
    value: float
    lower: float
    upper: float
    truth: float
    excess: float
    products: float

    @property
    def verified(self) -> bool:
        return self.evidence in ("proven", "krylov")

    @property
    def false(self) -> bool:
        return self.verified and self.excess > SLACK

    def record(self) -> dict[str, Any]:
        return asdict(self) | {"verified": self.verified, "false": self.false}


def ask(subject: Subject, question: Question, seed: int) -> list[EigenPairs]:
    """Return the eigenpairs of each image, as a run certifies them."""
    solver, A = question.solver(), subject.operator(question.dtype)
    state = solver.init(A, seed)
    while not solver.done(state):
        state = solver.step(A, state)
    return certify(A, solver.pairs(state), solver=solver, state=state)


def claims(family: str, variant: int, subject: Subject, question: Question, seed: int) -> list[Claim]:
    """Return every eigenvalue of every image, beside the truth."""
    found = []
    for image, pairs in enumerate(ask(subject, question, seed)):
        truth = subject.truth[image]
        for i, index in enumerate(pairs.eigenindex.tolist()):
            lower, upper = pairs.intervals[i].tolist()
            exact = float(truth[index])
            excess = max(lower - exact, exact - upper, 0.0) / float(truth[0])
            dtype = str(question.dtype).removeprefix("torch.")
            evidence = evidence_of(pairs, i)
            values = (float(pairs.eigenvalues[i]), lower, upper, exact, excess, pairs.fisher_vector_products)
            found.append(Claim(family, variant, question.group, repr(question.solver()), dtype, seed, image, index, evidence, *values))
    return found


def evidence_of(pairs: EigenPairs, i: int) -> str:
    """Return the evidence of the end that pair i belongs to: the nearer one, where both were asked."""
    top, bottom = pairs.evidence["top"], pairs.evidence["bottom"]
    if top is None or bottom is None:
        return (top or bottom) or "budget"
    return top if int(pairs.eigenindex[i]) < pairs.n / 2 else bottom
