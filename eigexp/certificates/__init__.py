"""Certificates of eigenpairs from fresh products. They use no intermediate value of the solver."""

from eigexp.certificates.certificate import Precision, certify, check_certificate_memory, check_precision

__all__ = ["Precision", "certify", "check_certificate_memory", "check_precision"]
