"""Figures and pages from stored results, made without torch. A name is loaded when it is first used, and matplotlib with it."""

from typing import TYPE_CHECKING

from eigexp.system.lazy_names import lazy_names

if TYPE_CHECKING:
    from eigexp.report.cross_table import cross_figure
    from eigexp.report.curves import curves_figure
    from eigexp.report.distortions import distortion_figure
    from eigexp.report.grid import grid_figure
    from eigexp.report.page import write_page
    from eigexp.report.panels import panels_figure
    from eigexp.report.profile import profile_figure
    from eigexp.report.separation import comparison_figure
    from eigexp.report.spectrum import spectrum_figure
    from eigexp.report.stimuli import export_stimuli
    from eigexp.report.style import figure_bytes, figure_png
    from eigexp.report.thresholds import thresholds_figure
    from eigexp.report.view import View

__all__ = [
    "View",
    "comparison_figure",
    "cross_figure",
    "curves_figure",
    "distortion_figure",
    "export_stimuli",
    "figure_bytes",
    "figure_png",
    "grid_figure",
    "panels_figure",
    "profile_figure",
    "spectrum_figure",
    "thresholds_figure",
    "write_page",
]

__getattr__ = lazy_names(
    __name__,
    {
        "View": "eigexp.report.view",
        "comparison_figure": "eigexp.report.separation",
        "cross_figure": "eigexp.report.cross_table",
        "curves_figure": "eigexp.report.curves",
        "distortion_figure": "eigexp.report.distortions",
        "export_stimuli": "eigexp.report.stimuli",
        "figure_bytes": "eigexp.report.style",
        "figure_png": "eigexp.report.style",
        "grid_figure": "eigexp.report.grid",
        "panels_figure": "eigexp.report.panels",
        "profile_figure": "eigexp.report.profile",
        "spectrum_figure": "eigexp.report.spectrum",
        "thresholds_figure": "eigexp.report.thresholds",
        "write_page": "eigexp.report.page",
    },
)
