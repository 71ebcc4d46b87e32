"""Eigendistortions in a notebook: plenoptic's interface, with the solvers, certificates and Trainer of `eigexp run`."""

from eigexp.synthesis.eigendistortion import Eigendistortion

__all__ = ["Eigendistortion"]
