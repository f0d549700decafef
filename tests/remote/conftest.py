"""The server of S3 that the tests of storage have, too."""

from tests.storage.conftest import bucket, moto

__all__ = ["bucket", "moto"]
