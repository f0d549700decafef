"""A server of S3 for the runs that sign URLs."""

from tests.storage.conftest import bucket, moto

__all__ = ["bucket", "moto"]
