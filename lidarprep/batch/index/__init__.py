"""The index: one HTML page of all scenes of a batch, with thumbnails and findings, that leads to each scene's page."""

from lidarprep.batch.index.write import Index, write_index

__all__ = ["Index", "write_index"]
