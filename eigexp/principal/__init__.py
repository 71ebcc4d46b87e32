"""Principal distortions: the two changes of an image about whose relative visibility several models disagree most."""

from eigexp.principal.search import PrincipalDistortions, principal_distortions

__all__ = ["PrincipalDistortions", "principal_distortions"]
