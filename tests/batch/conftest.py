"""A server of S3 and a bucket, for the tests of batches, too."""

from tests.storage.conftest import bucket, moto

__all__ = ["bucket", "moto"]
