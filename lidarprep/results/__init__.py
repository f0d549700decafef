"""Results of tasks: fetched, brought back to the recording's own points and coordinates, written as files."""

from lidarprep.results._fetch import METADATA_KEY, TaskLabels, fetch, results
from lidarprep.results._files import FORMATS, RECEIPT, WrittenResults, files_of, write_results

__all__ = [
    "FORMATS",
    "METADATA_KEY",
    "RECEIPT",
    "TaskLabels",
    "WrittenResults",
    "fetch",
    "files_of",
    "results",
    "write_results",
]
