"""Figures and pages from stored results, made without torch."""

from eigexp.report.compare import comparison_figure
from eigexp.report.curves import curves_figure
from eigexp.report.distortions import distortion_figure
from eigexp.report.page import write_page
from eigexp.report.spectrum import spectrum_figure
from eigexp.report.stimuli import export_stimuli
from eigexp.report.style import figure_png
from eigexp.report.view import View

__all__ = [
    "View",
    "comparison_figure",
    "curves_figure",
    "distortion_figure",
    "export_stimuli",
    "figure_png",
    "spectrum_figure",
    "write_page",
]
