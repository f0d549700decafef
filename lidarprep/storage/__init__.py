"""Where attachments live: a local folder, or a bucket; and the manifest of what is there.

Objects are immutable: an object's name holds its content's SHA-256. The manifest is the only mutable object.
"""

from lidarprep.storage.manifest import Manifest
from lidarprep.storage.open import load_manifest, open_store, store_of
from lidarprep.storage.options import StorageOptions
from lidarprep.storage.store import Store

__all__ = ["Manifest", "StorageOptions", "Store", "load_manifest", "open_store", "store_of"]
