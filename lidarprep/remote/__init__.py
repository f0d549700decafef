"""Recordings in object stores and on web servers: s3://, gs://, az:// and https:// as paths that can be read.

`RemotePath` has the methods of `pathlib.Path` by which readers read; `AnyPath` is what they take. obstore does the
transfer, and is imported when the first object is asked for.
"""

from lidarprep.remote.address import RemoteStat
from lidarprep.remote.path import AnyPath, RemotePath, as_path, is_url
from lidarprep.remote.read_ahead import ReadAhead, prefetch
from lidarprep.remote.threads import reading_threads

__all__ = ["AnyPath", "ReadAhead", "RemotePath", "RemoteStat", "as_path", "is_url", "prefetch", "reading_threads"]
