// Camera frusta: where each camera is and what it looks at, corrections by hand included.

import type { FrameData, Intrinsics, Matrix, Vector } from "./data";
import { apply, compose } from "./geometry";
import type { App } from "./state";

export interface Frustum {
  /** Row in SceneData.cameras. */
  camera: number;
  apex: Vector;
  /** Upper left, upper right, lower right, lower left. */
  corners: Vector[];
}

/** The frusta of a frame's cameras, of `size` metres; cameras without any pose have none. */
export function frustaOf(app: App, frame: FrameData, size: number): Frustum[] {
  const { cameras } = app.scene;
  const corrections = app.state.get().corrections;
  const out: Frustum[] = [];
  cameras.forEach((data, camera) => {
    const image = frame.images.find((each) => each.camera === camera);
    let pose: Matrix | null = image?.world_from_camera ?? null;
    if (!pose && !image && data.ego_from_camera && frame.world_from_ego) pose = compose(frame.world_from_ego, data.ego_from_camera);
    if (!pose) return;
    const correction = corrections.get(camera);
    if (correction) pose = compose(pose, correction.delta);
    const intrinsics: Intrinsics = { ...(image?.intrinsics ?? data), ...correction?.intrinsics };
    out.push({ camera, apex: apply(pose, [0, 0, 0]), corners: corners(intrinsics, image).map((ray) => apply(pose, scaled(ray, size))) });
  });
  return out;
}

/** Rays through the corners of the image, without distortion, at most 70° from the axis, so that a fisheye's is a frustum, too. */
function corners(camera: Intrinsics, image: { width: number; height: number; scale_factor: number } | undefined): Vector[] {
  const width = camera.width ?? (image ? image.width / image.scale_factor : 2 * camera.cx);
  const height = camera.height ?? (image ? image.height / image.scale_factor : 2 * camera.cy);
  const flat = camera.model === "brown_conrady";
  const slope = (pixels: number, focal: number) => (flat ? pixels / focal : Math.tan(Math.min(1.2, Math.max(-1.2, pixels / focal))));
  return [[0, 0], [width, 0], [width, height], [0, height]].map(([u, v]) => [
    slope(u - 0.5 - camera.cx, camera.fx), slope(v - 0.5 - camera.cy, camera.fy), 1,
  ]);
}

function scaled([x, y, z]: Vector, size: number): Vector {
  const factor = size / Math.hypot(x, y, z);
  return [x * factor, y * factor, z * factor];
}
