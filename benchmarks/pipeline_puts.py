"""Puts ready files into a bucket, one after the other by one thread, as the simplest script does.

    python benchmarks/pipeline_puts.py FOLDER BUCKET ENDPOINT

The files' bytes are in memory before the clock starts; it prints the seconds that the puts took.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import boto3


def main() -> None:
    folder, bucket, endpoint = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    ready = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    }
    client = boto3.client("s3", endpoint_url=endpoint)
    start = time.perf_counter()
    for key, data in ready.items():
        client.put_object(Bucket=bucket, Key=key, Body=data)
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
