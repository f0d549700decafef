"""A generated recording: a lidar, three cameras and a radar driven down a generated street."""

from lidarprep.sample._recording import SampleSummary, write_sample
from lidarprep.sample._street import DEVICE_HEIGHT_M

__all__ = ["DEVICE_HEIGHT_M", "SampleSummary", "write_sample"]
