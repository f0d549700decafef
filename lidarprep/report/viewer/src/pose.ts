// Poses as a person reads and writes them: quaternions, and the angles of a correction of a camera.

import { compose } from "./geometry";
import type { Matrix, Vector } from "./data";

export type Quaternion = [number, number, number, number]; // w, x, y, z

export function translation(m: Matrix): Vector {
  return [m[3], m[7], m[11]];
}

/** The unit quaternion of a rotation, w ≥ 0 (Shepperd 1978: divides by the largest of the four). */
export function quaternion(m: Matrix): Quaternion {
  const r = (row: number, column: number) => m[4 * row + column];
  const trace = r(0, 0) + r(1, 1) + r(2, 2);
  const squares = [trace, r(0, 0), r(1, 1), r(2, 2)];
  const largest = squares.indexOf(Math.max(...squares));
  const q: Quaternion = [1 + trace, r(2, 1) - r(1, 2), r(0, 2) - r(2, 0), r(1, 0) - r(0, 1)];
  if (largest > 0) {
    const i = largest - 1;
    const j = (i + 1) % 3;
    const k = (i + 2) % 3;
    q[0] = r(k, j) - r(j, k);
    q[1 + i] = 1 + r(i, i) - r(j, j) - r(k, k);
    q[1 + j] = r(i, j) + r(j, i);
    q[1 + k] = r(i, k) + r(k, i);
  }
  const norm = Math.hypot(...q) * (q[0] < 0 ? -1 : 1);
  return q.map((value) => value / norm) as Quaternion;
}

/**
 * The correction of a camera: turned by yaw about its y axis, then pitch about its x, then roll about its z, degrees,
 * and moved by (x, y, z) metres along its own axes. It is [R | t], given_from_corrected.
 */
export function correction(pitch: number, yaw: number, roll: number, moved: Vector): Matrix {
  const [cx, sx] = cosSin(pitch);
  const [cy, sy] = cosSin(yaw);
  const [cz, sz] = cosSin(roll);
  const aboutX = [1, 0, 0, 0, 0, cx, -sx, 0, 0, sx, cx, 0];
  const aboutY = [cy, 0, sy, 0, 0, 1, 0, 0, -sy, 0, cy, 0];
  const aboutZ = [cz, -sz, 0, 0, sz, cz, 0, 0, 0, 0, 1, 0];
  const turned = compose(compose(aboutY, aboutX), aboutZ);
  [turned[3], turned[7], turned[11]] = moved;
  return turned;
}

function cosSin(degrees: number): [number, number] {
  const radians = (degrees * Math.PI) / 180;
  return [Math.cos(radians), Math.sin(radians)];
}
