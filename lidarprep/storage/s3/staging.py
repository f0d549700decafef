"""What a run keeps aside in a bucket, below RUN_FOLDER, until all of it goes to its place.

S3 cannot rename: each object is copied to its place by the store itself, and deleted where it was once all are there.
"""

from __future__ import annotations

from collections.abc import Sequence

from lidarprep.errors import StorageError
from lidarprep.storage.s3.bucket import Bucket
from lidarprep.storage.s3.copying import Copying
from lidarprep.storage.store import MANIFEST_KEY, STAGED


class Staging:
    """The objects that are kept aside.

    Args:
        bucket: Where they are.
        copying: How they get to their places.
    """

    def __init__(self, bucket: Bucket, copying: Copying) -> None:
        self._bucket = bucket
        self._copying = copying

    def commit(self, keys: Sequence[str]) -> None:
        """Copies each object to its place, once it is seen that none is missing.

        A manifest that is to be replaced goes first: it must never stand beside what it does not speak of. The new one
        comes last, when all that it names is there. Until then nothing that is aside goes: done again, all is copied
        once more.

        Args:
            keys: What is to stand, the manifest last. What is not aside stands already, from a commit that was
                interrupted after that.

        Raises:
            StorageError: Something is gone; nothing was copied then.
        """
        *others, last = keys
        aside = {key.removeprefix(STAGED) for key, _ in self._bucket.listed(STAGED)}
        # Beside a manifest that is still aside, all others are: what stands would be what is to be replaced.
        there = aside if last in aside else aside | self._bucket.listed_like(keys).keys()
        for key in keys:
            if key not in there:
                raise StorageError(f"{self._bucket.location(STAGED + key)} is gone", fix="Run the same command again.")
        if last in aside:
            self._bucket.delete([last])
        self._bucket.each(self._put_in_place, [key for key in others if key in aside])
        self._bucket.each(self._put_in_place, [last] if last in aside else [])

    def remove(self) -> None:
        """Deletes all that is aside; the manifest first, so that where it is, all is."""
        keys = [key for key, _ in self._bucket.listed(STAGED)]
        self._bucket.delete([key for key in keys if key == STAGED + MANIFEST_KEY])
        self._bucket.delete([key for key in keys if key != STAGED + MANIFEST_KEY])

    def _put_in_place(self, key: str) -> None:
        self._copying.copy(STAGED + key, key)
