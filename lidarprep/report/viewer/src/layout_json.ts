// What a calibration made by hand is copied as: the calibration file that lidarprep takes, and the text that the
// recording's own layout holds it in. What each layout's reader makes of it: lidarprep/datasets/.

import type { Intrinsics, Matrix, Vector } from "./data";
import { IDENTITY, compose, invert } from "./geometry";
import { quaternion, translation } from "./pose";

/** A camera as it is now calibrated. */
export interface CalibratedCamera {
  name: string;
  given: Intrinsics; // as the recording has them
  intrinsics: Intrinsics; // with the changes
  egoFromCamera: Matrix | null; // as the recording has it
  correction: Matrix; // given_from_corrected
  images: CalibratedImage[]; // of the frames in the page, in their order
}

export interface CalibratedImage {
  index: number; // of the frame in the recording
  frame: string;
  worldFromCamera: Matrix; // as the recording has it, in its own world
}

/** A text to put into a file of the recording, or what to know instead. */
export interface LayoutText {
  place: string; // the file
  text: string; // "" where the layout cannot hold the change
  note: string;
}

export function poseChanged(camera: CalibratedCamera): boolean {
  return camera.correction.some((value, index) => value !== IDENTITY[index]);
}

/** The intrinsics that were changed, by the names of Frame JSON. */
export function changedIntrinsics({ given, intrinsics }: CalibratedCamera): Record<string, number> {
  const changed: Record<string, number> = {};
  for (const name of ["fx", "fy", "cx", "cy", "skew"] as const) {
    if (intrinsics[name] !== given[name]) changed[name] = rounded(intrinsics[name]);
  }
  for (const [name, value] of Object.entries(intrinsics.distortion)) {
    if (value !== (given.distortion[name] ?? 0)) changed[name] = rounded(value);
  }
  return changed;
}

export function isChanged(camera: CalibratedCamera): boolean {
  return poseChanged(camera) || Object.keys(changedIntrinsics(camera)).length > 0;
}

/** The file that --calibration takes: only what was changed. */
export function calibrationFile(cameras: readonly CalibratedCamera[]): string {
  const described: Record<string, unknown> = {};
  for (const camera of cameras.filter(isChanged)) {
    const entry: Record<string, unknown> = {};
    if (poseChanged(camera)) {
      if (camera.egoFromCamera === null) entry.given_from_camera = pose(camera.correction);
      else entry.ego_from_camera = pose(compose(camera.egoFromCamera, camera.correction));
    }
    const intrinsics = changedIntrinsics(camera);
    if (Object.keys(intrinsics).length) entry.intrinsics = intrinsics;
    described[camera.name] = entry;
  }
  return json({ cameras: described });
}

/** The command that looks at the recording with the calibration file. */
export function command(source: string, file = "calibration.json"): string {
  return `lidarprep inspect ${shellQuoted(source)} --calibration ${shellQuoted(file)}`;
}

export function shellQuoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) && !word.startsWith("-") ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** The texts for the recording's own files; all cameras are given, the changed ones are written. */
export function layoutTexts(layout: string, cameras: readonly CalibratedCamera[], frames: number): LayoutText[] {
  const writer = WRITERS[layout];
  const changed = cameras.filter(isChanged);
  if (!changed.length) return [];
  if (writer === undefined) {
    return [none(`Recordings of the layout ${layout} hold no calibration that could be replaced: use calibration.json.`)];
  }
  return writer(changed, cameras, frames);
}

type Writer = (changed: readonly CalibratedCamera[], all: readonly CalibratedCamera[], frames: number) => LayoutText[];

const WRITERS: Record<string, Writer> = {
  toolkit: (changed) => changed.flatMap(toolkit),
  nuscenes: (changed) => changed.flatMap(nuscenes),
  pandaset: (changed, _, frames) => changed.flatMap((camera) => pandaset(camera, frames)),
  argoverse2: (changed) => changed.flatMap(argoverse2),
  ros1: (changed) => changed.flatMap(ros),
  ros2: (changed) => changed.flatMap(ros),
  mcap: (changed) => changed.flatMap(ros),
  attachments: (changed) => changed.flatMap(attachments),
  "kitti-raw": kittiRaw,
  "kitti-odometry": () => [
    none(
      "calib.txt places camera 0, which the poses are given of: another Tr would move the poses, too. Use " +
        "calibration.json.",
    ),
  ],
  "kitti-object": () => [none("Each frame has a calibration file of its own: use calibration.json, which is for all.")],
};

// ---- toolkit, PandaSet, attachments: keys of Frame JSON --------------------------------------------------------------

function toolkit(camera: CalibratedCamera): LayoutText[] {
  const found: LayoutText[] = [];
  if (poseChanged(camera) && camera.egoFromCamera !== null) {
    const { position, heading } = inToolkit(corrected(camera.egoFromCamera, camera));
    const place = `cameras/${camera.name}/extrinsics.json`;
    found.push({ place, text: json({ heading, position }), note: "The whole file." });
  }
  return found.concat(intrinsicsFile(`cameras/${camera.name}/intrinsics.json`, camera));
}

function pandaset(camera: CalibratedCamera, frames: number): LayoutText[] {
  const found: LayoutText[] = [];
  if (poseChanged(camera)) {
    const place = `camera/${camera.name}/poses.json`;
    const all = camera.images.length === frames && camera.images.every(({ index }, row) => index === row);
    if (all) {
      const poses = camera.images.map(({ worldFromCamera }) => {
        const { heading, position } = inToolkit(corrected(worldFromCamera, camera));
        return { position: named("xyz", position), heading: named("wxyz", heading) };
      });
      found.push({ place, text: json(poses), note: "The whole file: the camera's pose in the world, an entry an image." });
    } else {
      found.push({
        place,
        text: "",
        note:
          `PandaSet has a pose for each image, and the page shows ${camera.images.length} of ${frames} frames: use ` +
          "calibration.json, or make the report of all frames.",
      });
    }
  }
  return found.concat(intrinsicsFile(`camera/${camera.name}/intrinsics.json`, camera));
}

function attachments(camera: CalibratedCamera): LayoutText[] {
  const changedPose = poseChanged(camera);
  return camera.images.map(({ frame, worldFromCamera }) => {
    const { heading, position } = inToolkit(corrected(worldFromCamera, camera));
    const posed = changedPose ? { position: named("xyz", position), heading: named("wxyz", heading) } : {};
    return {
      place: `frame ${frame}, the image of camera ${camera.name}`,
      text: json({ ...posed, ...frameJson(camera.intrinsics) }),
      note: "Keys of the image in Frame JSON; its other keys stay.",
    };
  });
}

function intrinsicsFile(place: string, camera: CalibratedCamera): LayoutText[] {
  if (!Object.keys(changedIntrinsics(camera)).length) return [];
  return [{ place, text: json(frameJson(camera.intrinsics)), note: "Other keys of the file stay as they are." }];
}

function frameJson(intrinsics: Intrinsics): Record<string, number | string> {
  const keys: Record<string, number | string> = { camera_model: intrinsics.model };
  for (const name of ["fx", "fy", "cx", "cy"] as const) keys[name] = rounded(intrinsics[name]);
  if (intrinsics.skew) keys.skew = rounded(intrinsics.skew);
  for (const [name, value] of Object.entries(intrinsics.distortion)) if (value) keys[name] = rounded(value);
  return keys;
}

// ---- nuScenes, Argoverse 2 -------------------------------------------------------------------------------------------

function nuscenes(camera: CalibratedCamera): LayoutText[] {
  const { fx, fy, cx, cy, skew } = camera.intrinsics;
  const record: Record<string, unknown> = {};
  if (camera.egoFromCamera !== null) {
    const { heading, position } = inToolkit(corrected(camera.egoFromCamera, camera));
    record.translation = position;
    record.rotation = heading;
  }
  record.camera_intrinsic = [[fx, skew, cx].map(rounded), [0, ...[fy, cy].map(rounded)], [0, 0, 1]];
  return [
    {
      place: `calibrated_sensor.json, the records of ${camera.name} that this scene names`,
      text: json(record),
      note: `token and sensor_token stay.${lost(camera, "nuScenes")}`,
    },
  ];
}

function argoverse2(camera: CalibratedCamera): LayoutText[] {
  const found: LayoutText[] = [];
  if (poseChanged(camera) && camera.egoFromCamera !== null) {
    const { heading, position } = inToolkit(corrected(camera.egoFromCamera, camera));
    const [qw, qx, qy, qz] = heading;
    const [tx_m, ty_m, tz_m] = position;
    found.push({
      place: "calibration/egovehicle_SE3_sensor.feather",
      text: json({ sensor_name: camera.name, qw, qx, qy, qz, tx_m, ty_m, tz_m }),
      note: "The values of the sensor's row.",
    });
  }
  if (Object.keys(changedIntrinsics(camera)).length) {
    const [fx_px, fy_px, cx_px, cy_px] = (["fx", "fy", "cx", "cy"] as const).map((name) => rounded(camera.intrinsics[name]));
    found.push({
      place: "calibration/intrinsics.feather",
      text: json({ sensor_name: camera.name, fx_px, fy_px, cx_px, cy_px }),
      note: `The values of the sensor's row; its other columns stay.${lost(camera, "Argoverse 2")}`,
    });
  }
  return found;
}

/** A warning where a layout of undistorted images cannot hold what was changed. */
function lost(camera: CalibratedCamera, layout: string): string {
  const bent = Object.entries(camera.intrinsics.distortion).filter(([, value]) => value);
  if (!bent.length) return "";
  return ` Images of ${layout} are undistorted: ${bent.map(([name]) => name).join(", ")} cannot be written; use calibration.json.`;
}

// ---- ROS -------------------------------------------------------------------------------------------------------------

function ros(camera: CalibratedCamera): LayoutText[] {
  const found: LayoutText[] = [];
  if (poseChanged(camera) && camera.egoFromCamera !== null) {
    const { heading, position } = inToolkit(corrected(camera.egoFromCamera, camera));
    const [w, x, y, z] = heading;
    found.push({
      place: `/tf_static, the optical frame of ${camera.name} in the device's frame`,
      text: json({ transform: { translation: named("xyz", position), rotation: { x, y, z, w } } }),
      note: "It leads from the optical frame straight to the device's: frames between the two have to be taken out.",
    });
  }
  if (Object.keys(changedIntrinsics(camera)).length) {
    const message = cameraInfo(camera.intrinsics);
    const place = `CameraInfo of ${camera.name}`;
    if (message === null) found.push({ place, text: "", note: "No distortion model of ROS holds this one: use calibration.json." });
    else found.push({ place, text: json(message), note: "Fields of the message; of a rectified image, K is what P has to hold." });
  }
  return found;
}

function cameraInfo({ model, distortion, fx, fy, cx, cy, skew }: Intrinsics): Record<string, unknown> | null {
  const of = (...names: string[]) => names.map((name) => rounded(distortion[name] ?? 0));
  const k = [fx, skew, cx, 0, fy, cy, 0, 0, 1].map(rounded);
  if (model === "fisheye") return { distortion_model: "equidistant", d: of("k1", "k2", "k3", "k4"), k };
  if (model !== "brown_conrady" || distortion.lx || distortion.ly) return null;
  if (distortion.k4 || distortion.k5 || distortion.k6) {
    return { distortion_model: "rational_polynomial", d: of("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"), k };
  }
  return { distortion_model: "plumb_bob", d: of("k1", "k2", "p1", "p2", "k3"), k };
}

// ---- KITTI raw -------------------------------------------------------------------------------------------------------

/**
 * The lines of all cameras: they are rectified, so that one rotation belongs to all, and their positions differ along
 * its axes. The first camera of the page takes the place of camera 0.
 */
function kittiRaw(changed: readonly CalibratedCamera[], all: readonly CalibratedCamera[]): LayoutText[] {
  const posed = all.filter((camera) => camera.egoFromCamera !== null);
  const cameraFromEgo = posed.map((camera) => invert(corrected(camera.egoFromCamera!, camera)));
  const first = cameraFromEgo[0];
  const tooMuch = changed.some(({ intrinsics }) => Object.values(intrinsics.distortion).some((value) => value));
  const alike = cameraFromEgo.every((m) => m.every((value, index) => index % 4 === 3 || Math.abs(value - first![index]) < 1e-6));
  if (first === undefined || !alike || tooMuch) {
    return [
      none(
        "KITTI's cameras are rectified: one rotation for all of them, and no distortion. This calibration has more " +
          "than that; use calibration.json.",
      ),
    ];
  }
  const lines = posed.map((camera, row) => {
    const { fx, fy, cx, cy, skew } = camera.intrinsics;
    const offset = translation(cameraFromEgo[row]).map((value, axis) => value - translation(first)[axis]) as Vector;
    const k = [
      [fx, skew, cx],
      [0, fy, cy],
      [0, 0, 1],
    ] as const;
    const p = k.flatMap((line) => [...line, line[0] * offset[0] + line[1] * offset[1] + line[2] * offset[2]]);
    return `P_rect_${camera.name.replace("image_", "")}: ${numbers(p)}`;
  });
  const rotation = [...first.slice(0, 3), ...first.slice(4, 7), ...first.slice(8, 11)];
  return [
    {
      place: "calib_velo_to_cam.txt",
      text: `R: ${numbers(rotation)}\nT: ${numbers(translation(first))}\n`,
      note: `Lines R and T: from the Velodyne to ${posed[0].name}, which takes the place of camera 0.`,
    },
    {
      place: "calib_cam_to_cam.txt",
      text: [`R_rect_00: ${numbers([1, 0, 0, 0, 1, 0, 0, 0, 1])}`, ...lines, ""].join("\n"),
      note: "These lines; cameras that the page does not show keep theirs, and would be wrong by the same turn.",
    },
  ];
}

function numbers(values: readonly number[]): string {
  return values.map((value) => value.toExponential(12)).join(" ");
}

// ---- parts -----------------------------------------------------------------------------------------------------------

function none(note: string): LayoutText {
  return { place: "", text: "", note };
}

function corrected(given: Matrix, camera: CalibratedCamera): Matrix {
  return compose(given, camera.correction);
}

function inToolkit(m: Matrix): { heading: number[]; position: number[] } {
  return { heading: quaternion(m).map(rounded), position: translation(m).map(rounded) };
}

function pose(m: Matrix): { quaternion: number[]; translation: number[] } {
  return { quaternion: quaternion(m).map(rounded), translation: translation(m).map(rounded) };
}

function named(axes: string, values: readonly number[]): Record<string, number> {
  return Object.fromEntries([...axes].map((axis, index) => [axis, values[index]]));
}

/** Without the digits that are rounding alone: a tenth of a nanometre, or of a billionth of a pixel. */
function rounded(value: number): number {
  return Number(value.toFixed(10)) + 0; // no -0
}

/** JSON with an indent, lists of numbers on one line. */
export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2).replace(/\[[^[\]{}"]*\]/g, (list) => list.replace(/\s+/g, " ").replace("[ ", "[").replace(" ]", "]"))}\n`;
}
