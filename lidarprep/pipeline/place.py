"""The place that a run stores at: what stands there already, what an unfinished run has left, and how runs end.

A run's manifest that is there says that it is done. A journal says that one is not: it is this run, which is taken up,
or another, which is refused or removed. Anything else that is in the way is refused, or replaced where that is asked.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lidarprep.errors import LidarprepError, RecipeError, StorageError, place_name
from lidarprep.pipeline.destination import Destination
from lidarprep.pipeline.fingerprint import Fingerprint, differences
from lidarprep.pipeline.records import Header
from lidarprep.pipeline.resuming import Unfinished
from lidarprep.storage import Manifest, Store
from lidarprep.storage.durable import TEMPORARY
from lidarprep.storage.journal import journal_of, run_folder_of
from lidarprep.storage.keys import is_key
from lidarprep.storage.store import MANIFEST_KEY, PROBE_KEY, RUN_FOLDER, StagedStore
from lidarprep.stored import gaps

log = logging.getLogger(__name__)


@dataclass
class Place:
    """The place that a run stores at.

    Args:
        destination: Where that is.
        store: The store, for what stands there.
        fingerprint: What the run depends on, or None.
    """

    destination: Destination
    store: Store
    fingerprint: Fingerprint | None

    def __post_init__(self) -> None:
        self.journal = journal_of(self.store)

    @property
    def fingerprint_value(self) -> str | None:
        """The fingerprint as manifest and journal have it."""
        return None if self.fingerprint is None else self.fingerprint.value

    @property
    def staged(self) -> StagedStore:
        """The store, for what the run adds; or what an unfinished one has added, while that is looked at."""
        return self.destination.open_staged()

    def something_is_unfinished(self) -> bool:
        """Whether a run is going on, or has left something."""
        try:
            return next(iter(self.store.list(f"{RUN_FOLDER}/")), None) is not None
        except StorageError:
            self.store.check()  # which says more
            raise

    def standing(self) -> Manifest | None:
        """The manifest of this very run, where that is done already; what it names may be gone by now."""
        manifest = _manifest_at(self.store)
        if manifest is None or self.fingerprint is None or manifest.fingerprint != self.fingerprint.value:
            return None
        return manifest

    def is_whole(self, manifest: Manifest) -> bool:
        """Whether all that a manifest names is there, by sizes, and its signed URLs hold."""
        return not manifest.images_have_expired and not gaps(manifest, self.store)

    def unfinished(self, overwrite: bool) -> Unfinished | None:
        """An earlier run that has not come to its end, this one or another."""
        journaled = self.journal.read()
        if journaled is None:
            return None
        try:
            found = Unfinished.read(journaled)
        except RecipeError:
            if not overwrite:
                raise
            self.destination = self.destination.keeping_aside(True)
            self.staged.roll_back([])
            self.journal.remove()
            return None
        self.destination = self.destination.keeping_aside(found.header.aside)
        sizes = found.committing
        if sizes is not None and not self._all_there(sizes):
            # Somebody has taken away what was to be moved to its place: that is to be done again.
            found.committing = None
            found.header = found.header.model_copy(update={"replaces": [*{*found.header.replaces, *sizes}]})
        return found

    def _all_there(self, sizes: Mapping[str, int]) -> bool:
        """Whether all that a run has stored is still staged, or in its place, by the sizes that are recorded."""
        return self.store.sizes(sizes.keys()) | self.staged.sizes(sizes.keys()) == sizes

    def can_take_up(self, unfinished: Unfinished, overwrite: bool) -> bool:
        """Whether it is this run that was not finished.

        Raises:
            RecipeError: It is another one, and not to be replaced.
        """
        if unfinished.header.fingerprint is None:
            return False  # nobody could take it up
        try:
            if self.fingerprint is None:
                raise RecipeError(
                    f"{self.destination.out} holds an unfinished run of another recording",
                    fix="Choose another destination, or begin anew with --overwrite.",
                )
            unfinished.require_same(self.fingerprint, self.destination.out)
        except RecipeError:
            if not overwrite:
                raise
            return False
        return True

    def take_back(self, header: Header) -> set[str]:
        """Removes what a run has stored; nothing that stood there before, of which it gives what still does."""
        # The manifest last of all speaks of a whole run: no other may stand.
        kept = set(header.replaces) - {MANIFEST_KEY}
        self.staged.roll_back([key for key in header.keys if key not in kept])
        self.journal.remove()
        return self.store.existing(kept)

    def take_up(self, unfinished: Unfinished, keys: Sequence[str], overwrite: bool) -> Header:
        """Sees that nobody has put anything in the way of an unfinished run meanwhile."""
        header = unfinished.header
        replaces = set(header.replaces)
        in_the_way = self.staged.in_the_way(keys)
        if not overwrite:
            self.refuse(in_the_way - (replaces - {MANIFEST_KEY}))
        return header.model_copy(update={"replaces": sorted(replaces | in_the_way)})

    def claim(self, keys: Sequence[str], overwrite: bool, left: set[str]) -> set[str]:
        """Sees that nothing stands there that would be replaced unasked; what is to go, if asked, once the run is done.

        That is what an earlier run's manifest names, too, so that nothing of it is left over. Where there is something,
        it stands until then: what the run stores is kept aside.

        Args:
            keys: What the run stores under.
            overwrite: Whether to replace what stands there.
            left: What is to go in any case, since a run that is replaced had to replace it.

        Raises:
            RecipeError: Something stands there.
        """
        existing = self.store.existing(keys)
        if not overwrite:
            self.refuse(existing)
        manifest = _manifest_at(self.store) if MANIFEST_KEY in existing else None
        replaces = left | existing | (set() if manifest is None else _keys_named(manifest, self.store))
        self.destination = self.destination.keeping_aside(bool(replaces))
        self.staged.roll_back([])  # of a run that was stopped before it had a journal
        folder = run_folder_of(self.store)
        if overwrite and folder is not None:
            _remove_old_leftovers(folder.parent)
        return replaces

    def refuse(self, existing: set[str]) -> None:
        """Refuses to replace what stands at the destination.

        Raises:
            RecipeError: Something does; the message says what it is, and what it differs in if it is a run.
        """
        if not existing:
            return
        manifest = _manifest_at(self.store) if MANIFEST_KEY in existing else None
        what = MANIFEST_KEY if MANIFEST_KEY in existing else min(existing)
        message = f"{place_name(self.store.location(what))} is there already, from an earlier run to this destination"
        if manifest is not None:
            message += self.difference_from(manifest)
        raise RecipeError(message, fix="Choose another destination, or replace what is there with --overwrite.")

    def difference_from(self, manifest: Manifest) -> str:
        """What another run's manifest differs in, as the end of a sentence."""
        if self.fingerprint is None or manifest.fingerprint is None:
            return ""
        parts = self.fingerprint.parts
        before = {**parts, "recipe": manifest.recipe, "lidarprep": manifest.lidarprep}
        found = differences(before, parts)
        return f": {'; '.join(found or ['its recording, or how its URLs are made, was another'])}"

    def sizes_of_staged(self, keys: Sequence[str], recorded: Mapping[str, int], header: Header) -> dict[str, int]:
        """The sizes of what a run has staged, by key, once it is seen that nothing hinders it from being put in place.

        What is not staged must not be taken for what an earlier run has left in its place.

        Args:
            keys: The keys of all that it has stored, and of its manifest, which is still to come.
            recorded: How large all is that it has stored, by its URL.
            header: What its journal says of it.

        Raises:
            StorageError: Something is gone, or of another size; or something else stands in its place by now.
        """
        if not self.staged.in_the_way(keys) <= set(header.replaces):
            raise StorageError(f"somebody has stored at {self.destination.out} meanwhile", fix="Look at what is there.")
        sizes = self.staged.sizes(keys)
        sizes.pop(MANIFEST_KEY, None)
        for key in keys:
            if key != MANIFEST_KEY and sizes.get(key) != recorded.get(self.store.url(key)):
                raise StorageError(
                    f"somebody has changed {key}, which this run has stored", fix="Run the same command again."
                )
        return sizes

    def commit(self, keys: Sequence[str], replaces: set[str]) -> Manifest:
        """Lets what is staged stand; done again, it does what is missing."""
        self.staged.commit(keys)
        manifest = Manifest.from_json(self.store.get(MANIFEST_KEY), location=self.store.location(MANIFEST_KEY))
        # From here on the run stands, whatever becomes of what an earlier one has left.
        self.tidy(replaces - set(keys))
        return manifest

    def tidy_beside(self, manifest: Manifest, header: Header) -> None:
        """Removes what is left of a run that has ended but for this, or was to replace what stands with the same."""
        self.tidy(set(header.replaces) - _keys_named(manifest, self.store))

    def tidy(self, left_over: set[str]) -> None:
        """Removes what is of no use once a run stands, which does so whatever becomes of that.

        The journal goes last: while there is one, the next run looks what is left.
        """
        try:
            with self.store.hurried():
                self.store.discard(sorted(left_over | {PROBE_KEY}))
                self.staged.roll_back([])
                self.journal.remove()
        except StorageError as error:
            log.warning("the run is complete, but not all that it needed could be removed: %s", error.message)


def _remove_old_leftovers(folder: Path) -> None:
    """Removes what runs of older versions, which had no journal, have left at a destination when they were killed."""
    for left in folder.glob(f".lidarprep-{'[0-9a-f]' * 12}"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
    for left in [*folder.glob(f"{TEMPORARY}*"), *folder.glob(f"images/*/{TEMPORARY}*")]:
        with contextlib.suppress(OSError):
            left.unlink()


def _manifest_at(store: Store) -> Manifest | None:
    """The manifest of an earlier run; None where there is none, or it cannot be read any more."""
    try:
        return Manifest.from_json(store.get(MANIFEST_KEY), location=store.location(MANIFEST_KEY))
    except LidarprepError:
        return None


def _keys_named(manifest: Manifest, store: Store) -> set[str]:
    """The keys of what a manifest names, its own among them."""
    base = store.url("")
    urls = [record.url for record in manifest.attachments] + [record.url for record in manifest.images]
    keys = {url.removeprefix(base) for url in urls if url.startswith(base) and is_key(url.removeprefix(base))}
    return keys | {MANIFEST_KEY}
