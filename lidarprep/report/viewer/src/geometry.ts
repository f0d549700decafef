// Rigid transforms as 12 numbers, row-major 3×4 [R|t], target from source.

import type { Matrix, Vector } from "./data";

export const IDENTITY: Matrix = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0];

/** a @ b. */
export function compose(a: Matrix, b: Matrix): Matrix {
  const out = new Array<number>(12);
  for (let row = 0; row < 12; row += 4) {
    for (let column = 0; column < 4; column++) {
      out[row + column] =
        a[row] * b[column] + a[row + 1] * b[4 + column] + a[row + 2] * b[8 + column] + (column === 3 ? a[row + 3] : 0);
    }
  }
  return out;
}

/** The inverse of a rigid transform: [R' | -R' t]. */
export function invert(m: Matrix): Matrix {
  const out = [m[0], m[4], m[8], 0, m[1], m[5], m[9], 0, m[2], m[6], m[10], 0];
  for (let row = 0; row < 12; row += 4) {
    out[row + 3] = -(out[row] * m[3] + out[row + 1] * m[7] + out[row + 2] * m[11]);
  }
  return out;
}

export function apply(m: Matrix, [x, y, z]: Vector): Vector {
  return [
    m[0] * x + m[1] * y + m[2] * z + m[3],
    m[4] * x + m[5] * y + m[6] * z + m[7],
    m[8] * x + m[9] * y + m[10] * z + m[11],
  ];
}

/** The rotation alone, of a direction. */
export function rotate(m: Matrix, [x, y, z]: Vector): Vector {
  return [m[0] * x + m[1] * y + m[2] * z, m[4] * x + m[5] * y + m[6] * z, m[8] * x + m[9] * y + m[10] * z];
}

/** The rotation of a unit quaternion w, x, y, z with a translation. */
export function fromQuaternion([w, x, y, z]: [number, number, number, number], [tx, ty, tz]: Vector): Matrix {
  return [
    1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), tx,
    2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x), ty,
    2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y), tz,
  ];
}
