// Rigid transforms as 12 numbers, row-major 3×4 [R | t], named target_from_source.

export type Matrix = number[];
export type Vector = [number, number, number];
export type Quaternion = [number, number, number, number]; // w, x, y, z

export const IDENTITY: Matrix = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0];

export function multiply(a: Matrix, b: Matrix): Matrix {
  const product: Matrix = [];
  for (let row = 0; row < 12; row += 4) {
    for (let column = 0; column < 4; column++) {
      const sum = a[row]! * b[column]! + a[row + 1]! * b[column + 4]! + a[row + 2]! * b[column + 8]!;
      product.push(column === 3 ? sum + a[row + 3]! : sum);
    }
  }
  return product;
}

export function inverse(m: Matrix): Matrix {
  const [a, b, c, x, d, e, f, y, g, h, i, z] = m as [number, number, number, number, number, number, number, number, number, number, number, number];
  return [
    ...[a, d, g, -(a * x + d * y + g * z)],
    ...[b, e, h, -(b * x + e * y + h * z)],
    ...[c, f, i, -(c * x + f * y + i * z)],
  ];
}

export function apply(m: Matrix, [x, y, z]: Vector): Vector {
  return [
    m[0]! * x + m[1]! * y + m[2]! * z + m[3]!,
    m[4]! * x + m[5]! * y + m[6]! * z + m[7]!,
    m[8]! * x + m[9]! * y + m[10]! * z + m[11]!,
  ];
}

export function translation(m: Matrix): Vector {
  return [m[3]!, m[7]!, m[11]!];
}

/** The transform of a unit quaternion and a translation. */
export function fromQuaternion([w, x, y, z]: Quaternion, [tx, ty, tz]: Vector): Matrix {
  return [
    ...[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), tx],
    ...[2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x), ty],
    ...[2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y), tz],
  ];
}

/** The unit quaternion of a rotation, w ≥ 0 (Shepperd 1978: divides by the largest of the four). */
export function quaternion(m: Matrix): Quaternion {
  const r = (row: number, column: number) => m[4 * row + column]!;
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
  const turned = multiply(multiply(aboutY, aboutX), aboutZ);
  return [turned[0]!, turned[1]!, turned[2]!, moved[0], turned[4]!, turned[5]!, turned[6]!, moved[1], turned[8]!, turned[9]!, turned[10]!, moved[2]];
}

function cosSin(degrees: number): [number, number] {
  const radians = (degrees * Math.PI) / 180;
  return [Math.cos(radians), Math.sin(radians)];
}
