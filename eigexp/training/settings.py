"""The settings with which an EigenModule solves its tasks."""

from dataclasses import dataclass

from eigexp.certificates import Precision, check_precision
from eigexp.noise import Noise
from eigexp.solvers.base import Solver
from eigexp.subspace import PixelSubspace


@dataclass(frozen=True)
class SolveSettings:
    """What the pairs of a task depend on besides its model and images; the attributes are the arguments of EigenModule.

    Raises:
        ConfigurationError: if `certify` is unknown.
    """

    solver: Solver
    linearise: str = "auto"
    certify: Precision = "float64"
    noise: Noise | None = None
    subspace: PixelSubspace | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_precision(self.certify)
