"""A generated recording: a lidar, three cameras and a radar driven down a made-up street, for those without data."""

from lidarprep.sample.drive import DEVICE_HEIGHT_M
from lidarprep.sample.recording import SampleSummary, write_sample

__all__ = ["DEVICE_HEIGHT_M", "SampleSummary", "write_sample"]
