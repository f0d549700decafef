"""The page: one HTML file that shows a scene to the person who pays for its labels, and to the one who calibrates."""

from lidarprep.report.page.write import Report, write_report

__all__ = ["Report", "write_report"]
