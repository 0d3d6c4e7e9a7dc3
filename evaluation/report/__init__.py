"""The report folder: results.json, plots, one page."""

from evaluation.report.page import write_report
from evaluation.report.plots import require_matplotlib

__all__ = ["require_matplotlib", "write_report"]
