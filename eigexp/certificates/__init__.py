"""What can be said of eigenpairs after fresh products. Trusts nothing that a solver carried."""

from eigexp.certificates.certificate import Precision, certify, check_certificate_memory, check_precision

__all__ = ["Precision", "certify", "check_certificate_memory", "check_precision"]
