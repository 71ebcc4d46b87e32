"""Figures and pages from stored results, made without torch."""

from eigexp.report.compare import comparison_figure
from eigexp.report.curves import curves_figure
from eigexp.report.distortions import distortion_figure
from eigexp.report.spectrum import spectrum_figure
from eigexp.report.style import figure_png
from eigexp.report.view import View

__all__ = ["View", "comparison_figure", "curves_figure", "distortion_figure", "figure_png", "spectrum_figure"]
