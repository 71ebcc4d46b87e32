"""Eigendistortions in a notebook: plenoptic's interface over the same parts as `eigexp run`."""

from eigexp.synthesis.eigendistortion import Eigendistortion

__all__ = ["Eigendistortion"]
