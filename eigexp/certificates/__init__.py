"""Certificates of eigenpairs: values, residuals and bounds from fresh products, and the evidence for each end."""

from eigexp.certificates.certificate import Precision, certify, check_certificate_memory, check_precision

__all__ = ["Precision", "certify", "check_certificate_memory", "check_precision"]
