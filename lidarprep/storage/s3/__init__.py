"""S3, and stores that speak its language, through boto3's public interface.

`store` has the operations, `session` the client and its credentials, `retries` the budget around boto's own retries,
`errors` what boto's errors mean.
"""

from lidarprep.storage.s3.store import S3Store

__all__ = ["S3Store"]
