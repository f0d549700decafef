"""The one name that is written down twice, so that opening a recording need not import what writes manifests."""

from lidarprep.datasets.attachments import MANIFEST_KEY
from lidarprep.storage import store


def test_the_manifest_is_looked_for_under_the_name_that_it_is_stored_under() -> None:
    assert MANIFEST_KEY == store.MANIFEST_KEY
