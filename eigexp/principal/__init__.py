"""Principal distortions: the two changes of an image about whose relative visibility several models disagree most."""

from eigexp.principal.models import ModelsOperator, models_operator
from eigexp.principal.search import PrincipalDistortions, principal_distortions
from eigexp.principal.solver import Principal

__all__ = ["ModelsOperator", "Principal", "PrincipalDistortions", "models_operator", "principal_distortions"]
