// What window.lidarprep offers of cameras and calibrations: for tests, and to try things in the browser's console.

import { calibratedCameras } from "./calibration";
import { project as projectPoints, projected } from "./camera";
import type { Intrinsics, Matrix } from "./data";
import { calibrationFile, layoutTexts } from "./layout_json";

/** Pixels of points (x, y, z one after the other) of the world, and which of them are seen. */
export function project(intrinsics: Intrinsics, worldFromCamera: Matrix, positions: number[]): { pixels: (number | null)[]; seen: number[] } {
  const { pixels, seen } = projectPoints(intrinsics, worldFromCamera, Float64Array.from(positions), projected(positions.length / 3));
  return { pixels: Array.from(pixels, (value) => (Number.isFinite(value) ? value : null)), seen: Array.from(seen) };
}

export { calibratedCameras, calibrationFile, layoutTexts };
