// The data of the page: what Python writes into <script id="scene-data"> (lidarprep/report/page/data.py has the same).

/** 12 numbers, row-major 3×4 [R|t], target from source. */
export type Matrix = number[];
export type Vector = [number, number, number];

export type CameraModel = "brown_conrady" | "fisheye" | "omnidirectional" | "cylindrical" | "equirectangular";

export interface Intrinsics {
  model: CameraModel;
  fx: number;
  fy: number;
  cx: number;
  cy: number;
  skew: number;
  /** All coefficients that the model uses, in the model's order. */
  distortion: Record<string, number>;
  /** Size of the images that the intrinsics are for, pixels. */
  width: number | null;
  height: number | null;
}

export interface CameraData extends Intrinsics {
  name: string;
  ego_from_camera: Matrix | null;
}

export interface ImageData {
  /** Row in SceneData.cameras. */
  camera: number;
  /** Where they differ from the camera's in this frame. */
  intrinsics: Intrinsics | null;
  /** Offset taken; null: no pose, nothing can be projected. */
  world_from_camera: Matrix | null;
  timestamp: string | null;
  /** Of the image as recorded, pixels; the JPEG in the page may be smaller. */
  width: number;
  height: number;
  /** image pixel = (u + 0.5) / scale_factor - 0.5, u from the intrinsics. */
  scale_factor: number;
  /** Whether the page has its JPEG. */
  shown: boolean;
  problem: string | null;
}

export interface CuboidData {
  id: string;
  label: string;
  center: Vector;
  /** Along the box's own x, y, z. */
  size: Vector;
  /** Quaternion w, x, y, z: the box's own axes to the world. */
  rotation: [number, number, number, number];
  /** The own axis that points to the front. */
  front: "x" | "y";
  prelabel: boolean;
}

export interface PointsData {
  /** Rows in the blob, and points of the frame. */
  shown: number;
  total: number;
  /** world = origin + step * u16, metres. */
  origin: Vector;
  step: Vector;
  /** Columns in the blob, in its order: "position", "fate", "intensity", "device", "time". */
  columns: string[];
  /** Nanoseconds: time = first + u16 / 65535 * span. */
  time: { first: string; span: number } | null;
}

export interface FrameData {
  id: string;
  /** Index in the recording. */
  index: number;
  /** Nanoseconds since the epoch, as text: a number would lose digits. */
  timestamp: string | null;
  /** Offset taken; null: identity is drawn. */
  world_from_ego: Matrix | null;
  labelled: boolean;
  error: string | null;
  points: PointsData | null;
  /** World, metres. */
  radar: Vector[];
  images: ImageData[];
  cuboids: CuboidData[];
}

export interface SceneData {
  version: 1;
  source: string;
  layout: string;
  /** Metres taken from the recording's world. */
  offset: Vector;
  has_poses: boolean;
  /** Names by number, "kept" first. */
  fates: string[];
  devices: { id: number; name: string }[];
  /** The value that is 1; null: points have no intensity. */
  intensity: { scale: number } | null;
  /** In the viewer's world, metres and radians. */
  region: { x: number; y: number; length: number; width: number; rotation: number } | null;
  /** Heights above the ground, metres: z_ego + device_height. */
  band: { device_height: number; lowest: number; highest: number } | null;
  /** Of the device, all frames of the recording, metres. */
  path: Vector[];
  thinned: string;
  cameras: CameraData[];
  frames: FrameData[];
}

/** Read the scene of the page; null if the page has none. */
export function readScene(page: Document): SceneData | null {
  const text = page.getElementById("scene-data")?.textContent;
  if (!text) return null;
  const scene = JSON.parse(text) as SceneData;
  if (scene.version !== 1) throw new Error(`this viewer reads version 1 of the page's data, not ${scene.version}`);
  return scene;
}
