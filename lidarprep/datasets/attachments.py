"""Attachments as a recording: a file of them, a folder of them, or what `lidarprep prepare` has stored.

    NAME.sfs              a Sensor Fusion Scene
    NAME.json, NAME.pb    one frame as Frame JSON or LidarFrame protobuf; or a folder of such files, one a frame
    manifest.json         what a run of `prepare` stored, with its frames in frames/; or the folder that it lies in

Points are in the world of the attachments, intensity is from 0 to 1. A camera has the name that the manifest gives its
images, or else its `camera_index`, and no extrinsics: attachments hold poses in the world. Images whose URLs are
relative are files beside the attachment or, if that lies in frames/, beside this folder; of others only the URL is
known.

Opening reads no points of a Sensor Fusion Scene and of Frame JSON files as lidarprep writes them. A LidarFrame has its
images behind its points, and so has to be decoded, in threads; its points are not kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from mmap import ACCESS_READ, mmap
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import orjson

from lidarprep.attachments import FrameFormat, SceneFormat, format_of_suffix
from lidarprep.datasets.filenames import files_by_frame, on_disk, source_file, source_files, visible, visible_names
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.selection import select_part, unused_options
from lidarprep.errors import FormatError, SceneError, naming
from lidarprep.remote import AnyPath, RemotePath
from lidarprep.scene import Camera, CameraImage, Frame, PointCloud, RadarPoints, Scene

# The manifest's name: storage.store.MANIFEST_KEY, which is not imported to look for it, since storage brings pydantic.
MANIFEST_KEY = "manifest.json"
# The folder that `prepare` stores frames in: URLs of images start from the folder above it.
FRAMES_FOLDER = "frames"

LOOKS_LIKE = "attachments: NAME.sfs, NAME.json or NAME.pb, a folder of the latter, or what `prepare` stored"
USED_OPTIONS = ("points_frame", "cameras")

# Found at the beginning of an attachment and of a manifest, and in no other JSON file of a recording.
_LOOK = 64 * 1024
_FRAME_JSON = re.compile(rb'"device_position"\s*:\s*\{|"points"\s*:\s*\[\s*(\]|\{)')
_MANIFEST = (b'"lidarprep"', b'"attachments"')
# How many bytes of a Frame JSON are read to find its points; four times as many at each further try.
FIRST_LOOK = 64 * 1024
# The last point of a Frame JSON, and the ends of the array and of the frame behind it.
_TAIL = 1024
_LAST_POINT = re.compile(rb"(\{[^{}\[\]]*\})\s*\]\s*\}\s*\Z")
_NO_POINT = re.compile(rb"\[\s*\]\s*\}\s*\Z")
_POINT_KEYS = frozenset({"x", "y", "z", "i", "d", "t", "is_ground"})
# Times of one frame in manifest and attachment are the same but for the attachment's rounding: to whole microseconds
# in a scene, to 256 ns in a protobuf.
_ROUNDING_NS = 1000


def detect(path: AnyPath) -> str | None:
    """Say why these are attachments; None if they are not."""
    if path.is_dir():
        if _is_manifest(path / MANIFEST_KEY):
            return f"its {MANIFEST_KEY} is that of attachments"
        first = next((file.name for file in visible(path) if _is_attachment(file)), None)
        return None if first is None else f"it holds attachments, such as {first}"
    if path.name == MANIFEST_KEY and _is_manifest(path):
        return "it is the manifest of attachments"
    known = format_of_suffix(path.suffix)
    return f"it begins as {known.title} does" if known is not None and _is_attachment(path) else None


def open(path: AnyPath, options: OpenOptions) -> Scene:
    """Open attachments.

    Raises:
        SceneError: There is none; their points are said to be in another frame of reference; two belong to one frame;
            a folder has several scenes; one that the manifest names is missing.
        FormatError: One breaks its format.
    """
    notes: list[str] = []
    if path.name == MANIFEST_KEY or (path.is_dir() and _is_manifest(path / MANIFEST_KEY)):
        scene = _prepared(path if path.is_dir() else _folder_of(path), notes)
    elif path.is_dir():
        scene = _folder(path, options, notes)
    else:
        scene = _file(path)
    if options.points_frame not in (None, scene.points_frame):
        raise SceneError(
            f"{path}: points of attachments are in the {scene.points_frame} frame by definition, not in "
            f"{options.points_frame}",
            fix="Leave --points-frame out.",
        )
    scene = _with_shared_cameras(scene, notes)
    notes += unused_options(options, (*USED_OPTIONS, "scene") if path.is_dir() else USED_OPTIONS)
    return replace(
        scene,
        source=str(path),
        layout="attachments",
        notes=(*scene.notes, *notes),
        points_frame_is_certain=True,
    )


# ---- detection -----------------------------------------------------------------------------------------------------


def _is_attachment(path: AnyPath) -> bool:
    """Return whether a file begins as its suffix's attachments do."""
    known = format_of_suffix(path.suffix)
    if known is None or path.name == MANIFEST_KEY:
        return False
    beginning = _beginning(path)
    if known.name == "protobuf":
        return beginning[:1] == b"\x0a"  # the tag of device_position
    if known.name == "sfs":
        return beginning.lstrip()[:1] == b"{"
    return beginning.lstrip()[:1] == b"{" and _FRAME_JSON.search(beginning) is not None


def _is_manifest(path: AnyPath) -> bool:
    beginning = _beginning(path)
    return all(key in beginning for key in _MANIFEST)


def _beginning(path: AnyPath) -> bytes:
    """Return the first bytes of a file, or none where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_LOOK)
    except OSError:
        return b""


# ---- a file, a folder ----------------------------------------------------------------------------------------------


def _file(path: AnyPath) -> Scene:
    known = format_of_suffix(path.suffix)
    if known is None:
        raise SceneError(f"{path} is not an attachment", fix=f"Expected are {LOOKS_LIKE}.")
    if isinstance(known, SceneFormat):
        return read_scene_file(path, known)
    return _scene_of([path], known.title)


def _folder(folder: AnyPath, options: OpenOptions, notes: list[str]) -> Scene:
    names = visible_names(folder)
    with ThreadPoolExecutor() as pool:
        stems = dict(zip(names, pool.map(_stem_of_frame, (folder / name for name in names)), strict=True))
    files = files_by_frame(folder, stems.get)
    if not files:
        scenes = [path for path in visible(folder) if path.suffix.lower() == ".sfs" and _is_attachment(path)]
        if not scenes:
            raise SceneError(f"{folder} holds no attachment", fix=f"Expected are {LOOKS_LIKE}.")
        asked = None if options.scene is None else options.scene.removesuffix(".sfs")
        return _file(select_part(folder, "scene", {path.stem: path for path in scenes}, asked, LOOKS_LIKE))
    taken = {path.name for path in files.values()}
    others = [path.name for path in visible(folder) if path.name not in taken and path.is_file()]
    if others:
        notes.append(f"{len(others)} files are no attachments of a frame, such as {others[0]}")
    if options.scene is not None:
        notes.append(f"the folder holds one scene; the name {options.scene!r} is passed over")
    return _scene_of([*files.values()], "attachments")


def _stem_of_frame(path: AnyPath) -> str | None:
    is_frame = isinstance(format_of_suffix(path.suffix), FrameFormat) and _is_attachment(path)
    return path.stem if is_frame else None


def _scene_of(files: Sequence[AnyPath], title: str) -> Scene:
    """Make a scene of files with one frame each: in time order if all have timestamps, else in the order given."""
    frames = _open_frames(files)
    notes: tuple[str, ...] = ()
    if all(frame.timestamp is not None for frame in frames):
        frames.sort(key=lambda frame: frame.timestamp or 0)
    elif len(frames) > 1:
        notes = ("not all attachments have a timestamp: the frames are in the order of their names",)
    numbered = tuple(replace(frame, index=index) for index, frame in enumerate(frames))
    return Scene(title, "attachments", numbered, points_frame="world", notes=notes)


def _open_frames(files: Sequence[AnyPath]) -> list[Frame]:
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_open_frame, files))


def _open_frame(path: AnyPath) -> Frame:
    """Open a file that holds one frame, whose points and radar returns are read when they are asked for."""
    known = format_of_suffix(path.suffix)
    if not isinstance(known, FrameFormat):
        raise SceneError(f"{path} is not an attachment of one frame")
    frame = _read_around_points(path, known)
    return replace(
        frame,
        id=path.stem,
        sources=(source_file(path),),
        images=tuple(_with_file(image, path.parent) for image in frame.images),
        read_points=partial(_read_points, path, known, _surroundings(frame)),
        read_radar=None if frame.read_radar is None else partial(_read_radar, path, known),
    )


def _with_file(image: CameraImage, folder: AnyPath) -> CameraImage:
    """Return the image with its file, if its URL is relative and the file is there; no link leads out of the folder."""
    parts = urlsplit(image.url or "")
    name = PurePosixPath(unquote(parts.path))
    if parts.scheme or parts.netloc or not name.parts or name.is_absolute() or ".." in name.parts or "\0" in name.name:
        return image
    folders = (folder, folder.parent) if folder.name == FRAMES_FOLDER else (folder,)
    path = next((path for path in (place.joinpath(*name.parts) for place in folders) if path.is_file()), None)
    return image if path is None else replace(image, path=path)


# ---- attachments with a manifest -----------------------------------------------------------------------------------


def _prepared(folder: AnyPath, notes: list[str]) -> Scene:
    """Open the frames that a manifest names, in its order, with the ids and the exact times that it has."""
    from lidarprep.storage import Manifest

    manifest = Manifest.load(folder)
    keys = [key for key, _ in manifest.objects()]  # those of the attachments first
    paths = [_stored(folder, key) for key in keys[: len(manifest.attachments)]]
    if not paths:
        raise SceneError(f"{folder / MANIFEST_KEY} names no attachment")
    if any(manifest.world_offset):
        x, y, z = manifest.world_offset
        notes.append(f"({x:g}, {y:g}, {z:g}) metres were taken from the recording's coordinates, and are not added")
    known = format_of_suffix(paths[0].suffix)
    if isinstance(known, SceneFormat):
        scene = read_scene_file(paths[0], known)
        frames = list(scene.frames)
    else:
        scene = Scene(str(folder), "attachments", (), points_frame="world")
        frames = _open_frames(paths)
    if len(frames) != len(manifest.frames):
        raise SceneError(
            f"{folder / MANIFEST_KEY} names {len(manifest.frames)} frames, and its attachments hold {len(frames)}",
            fix="Prepare the recording once more.",
        )
    names = {record.url.partition("?")[0]: record.camera for record in manifest.images}
    named = []
    for index, (frame, record) in enumerate(zip(frames, manifest.frames, strict=True)):
        exact = record.timestamp if _same_time(frame.timestamp, record.timestamp) else frame.timestamp
        images = tuple(_named(image, names) for image in frame.images)
        named.append(replace(frame, id=record.id, index=index, timestamp=exact, images=images))
    return replace(scene, frames=tuple(named))


def _folder_of(manifest: AnyPath) -> AnyPath:
    """Return the folder that a manifest lies in; one in a store is listed at once, in place of a look at each file."""
    if isinstance(manifest, RemotePath) and (folder := manifest.parent.as_named()).is_dir():
        return folder
    return manifest.parent


def _stored(folder: AnyPath, key: str) -> AnyPath:
    """Return the file of an attachment, by its key."""
    path = folder / key
    if not path.is_file():
        raise SceneError(
            f"{path} is missing, which {folder / MANIFEST_KEY} names",
            fix="Copy the whole folder that `prepare` stored, or prepare the recording once more.",
        )
    return path


def _same_time(found: int | None, exact: int | None) -> bool:
    return found is not None and exact is not None and abs(found - exact) <= _ROUNDING_NS


def _named(image: CameraImage, names: Mapping[str, str]) -> CameraImage:
    name = names.get((image.url or "").partition("?")[0])
    return image if name is None else replace(image, camera=replace(image.camera, name=name))


# ---- cameras -------------------------------------------------------------------------------------------------------


def _with_shared_cameras(scene: Scene, notes: list[str]) -> Scene:
    """Return the scene with one camera for all images of a name and the same intrinsics, without missing images."""
    cameras: dict[str, Camera] = {camera.name: camera for camera in scene.cameras}
    changed: set[str] = set()
    lost: list[str] = []

    def kept(image: CameraImage) -> CameraImage | None:
        if image.path is None and image.content is None and not urlsplit(image.url or "").scheme:
            lost.append(image.url or "")
            return None
        camera = cameras.setdefault(image.camera.name, image.camera)
        if camera == image.camera:
            return replace(image, camera=camera)
        changed.add(camera.name)
        return image

    frames = []
    for frame in scene:
        images = tuple(image for image in map(kept, frame.images) if image is not None)
        frames.append(replace(frame, images=images, sources=(*frame.sources, *source_files([], images))))
    if lost:
        notes.append(f"{len(lost)} images are not there and left out, such as {lost[0]}")
    if changed:
        notes.append(f"the intrinsics of camera {', '.join(sorted(changed))} are not the same in all frames")
    in_order = sorted(cameras.values(), key=lambda camera: camera.index)
    return replace(scene, frames=tuple(frames), cameras=tuple(in_order))


# ---- files ----------------------------------------------------------------------------------------------------------


def read_scene_file(path: AnyPath, attachment_format: SceneFormat) -> Scene:
    """Read a file that holds a whole scene; its points are read when they are asked for.

    Raises:
        FormatError: It cannot be read, or breaks the format.
    """
    notes = () if isinstance(path, Path) else (f"{path.name} is read from a temporary copy on this machine",)
    with naming(path):
        # A map, since a scene may be larger than memory; it lasts as long as the frames that read from it.
        with on_disk(path).open("rb") as file:
            mapped = mmap(file.fileno(), 0, access=ACCESS_READ) if path.stat().st_size else b""
        scene = attachment_format.decode(mapped, source=str(path))
    source = source_file(path)
    frames = tuple(replace(frame, sources=(source,)) for frame in scene)
    return replace(scene, frames=frames, notes=(*scene.notes, *notes))


def scene_file_of(scene: Scene) -> AnyPath | None:
    """Return the .sfs that all frames of an opened scene are read from; None where there is no such file."""
    if scene.layout != "attachments" or scene.path is None:
        return None
    places = {source.location for frame in scene for source in frame.sources if source.location.endswith(".sfs")}
    if len(places) != 1:
        return None
    folder = scene.path.parent if scene.path.suffix else scene.path
    inside = (scene.path, *visible(folder)) if folder.is_dir() else (scene.path,)
    return next((path for path in inside if str(path) in places), None)


def read_frame_file(path: AnyPath, attachment_format: FrameFormat) -> Frame:
    """Read a file that holds one frame, with its points.

    Raises:
        FormatError: It cannot be read, or breaks the format.
    """
    with naming(path):
        return attachment_format.decode(path.read_bytes(), source=str(path))


def _read_around_points(path: AnyPath, attachment_format: FrameFormat) -> Frame:
    """Read a frame without its points, where they come last, as lidarprep writes Frame JSON; else the whole frame."""
    with naming(path):
        head = _json_head(path) if attachment_format.name == "json" else None
    if head is None:
        return read_frame_file(path, attachment_format)
    return attachment_format.decode(head, source=str(path))


def _json_head(path: AnyPath) -> bytes | None:
    """Return a Frame JSON without its points, if those are its last part; else None.

    Only the beginning and the end of the file are read. The points are last if it ends with an object that has a
    point's keys and no others, an array's end, and the frame's.
    """
    import numpy as np

    from lidarprep.kernels import frame_json_reader as reader

    size = path.stat().st_size
    with path.open("rb") as file:
        head, status, start = b"", reader.CUT_SHORT, 0
        wanted = FIRST_LOOK
        while status != reader.OK and len(head) < size:
            head += file.read(wanted - len(head))
            if len(head) < min(wanted, size):
                break  # it has become shorter meanwhile
            status, start = reader.find_points(np.frombuffer(head, dtype=np.uint8), 0)
            wanted *= 4
        if status != reader.OK:
            return None
        file.seek(max(start, size - _TAIL))
        tail = file.read()
    return head[:start] + b"[]}" if _ends_with_points(tail) else None


def _ends_with_points(tail: bytes) -> bool:
    if len(tail) < _TAIL and _NO_POINT.fullmatch(tail):
        return True
    match = _LAST_POINT.search(tail)
    if match is None:
        return False
    try:
        keys = set(orjson.loads(match[1]))
    except orjson.JSONDecodeError:
        return False
    return {"x", "y", "z"} <= keys <= _POINT_KEYS


def _surroundings(frame: Frame) -> tuple[object, ...]:
    """Return a digest of a frame without its points."""
    return frame.world_from_ego, frame.timestamp, frame.gps, len(frame.images)


def _read_points(path: AnyPath, attachment_format: FrameFormat, surroundings: tuple[object, ...]) -> PointCloud:
    frame = read_frame_file(path, attachment_format)
    if _surroundings(frame) != surroundings:
        raise FormatError(
            path,
            place="behind its points",
            found="other poses, images or times than before them",
            fix="Leave the file as it is while the recording is open, and each key once in it.",
        )
    return frame.points()


def _read_radar(path: AnyPath, attachment_format: FrameFormat) -> RadarPoints:
    radar = _read_around_points(path, attachment_format).radar()
    if radar is None:
        raise FormatError(path, found="no radar points, which it had when the recording was opened")
    return radar
