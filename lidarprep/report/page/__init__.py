"""The page: one HTML file that shows a scene to the person who pays for its labels, and to the one who calibrates."""

from lidarprep.report.page.write import Report, make_report, write_report

__all__ = ["Report", "make_report", "write_report"]
