// Projection of points onto images: the same five models as lidarprep/scene/camera.py, and the same mask of what is
// seen. A camera's frame: z forward, x right, y down. Pixels: (0, 0) is the centre of the upper left pixel.

import type { CameraModel, Intrinsics, Matrix } from "./data";
import { invert } from "./geometry";

/** Writes the pixel (u, v) of a point of the camera's frame to out[at], out[at + 1]; returns whether it is seen. */
export type ProjectPoint = (x: number, y: number, z: number, out: Float64Array, at: number) => boolean;

/** The projection of a camera, its coefficients and limits worked out once. */
export function projection(intrinsics: Intrinsics): ProjectPoint {
  const { fx, fy, cx, cy, skew } = intrinsics;
  const plane = PLANES[intrinsics.model](intrinsics.distortion);
  const sized = intrinsics.width !== null && intrinsics.height !== null;
  const right = sized ? intrinsics.width! - 0.5 : Infinity;
  const bottom = sized ? intrinsics.height! - 0.5 : Infinity;
  const left = sized ? -0.5 : -Infinity;
  return (x, y, z, out, at) => {
    const seen = plane(x, y, z, out, at);
    const u = fx * out[at] + skew * out[at + 1] + cx;
    const v = fy * out[at + 1] + cy;
    out[at] = u;
    out[at + 1] = v;
    return seen && Number.isFinite(u) && Number.isFinite(v) && u >= left && u < right && v >= left && v < bottom;
  };
}

/** Pixels of many points. */
export interface Projected {
  pixels: Float64Array; // (2 N) u, v of each
  depth: Float32Array; // (N,) metres from the camera: along z, or the distance for images that go round
  seen: Uint8Array; // (N,)
  count: number; // how many are seen
}

export function projected(capacity: number): Projected {
  return {
    pixels: new Float64Array(2 * capacity),
    depth: new Float32Array(capacity),
    seen: new Uint8Array(capacity),
    count: 0,
  };
}

/**
 * Project points onto an image.
 *
 * positions: (3 N) x, y, z in the world; worldFromCamera: the pose of the image; into: room for N points at least.
 */
export function project(
  intrinsics: Intrinsics,
  worldFromCamera: Matrix,
  positions: Float32Array | Float64Array,
  into: Projected,
): Projected {
  const point = projection(intrinsics);
  const [a, b, c, d, e, f, g, h, i, j, k, l] = invert(worldFromCamera);
  const round = seesBehind(intrinsics.model);
  const { pixels, depth, seen } = into;
  const n = positions.length / 3;
  let count = 0;
  for (let row = 0, at = 0; row < n; row++, at += 3) {
    const px = positions[at];
    const py = positions[at + 1];
    const pz = positions[at + 2];
    const x = a * px + b * py + c * pz + d;
    const y = e * px + f * py + g * pz + h;
    const z = i * px + j * py + k * pz + l;
    const ok = point(x, y, z, pixels, 2 * row);
    depth[row] = round ? Math.sqrt(x * x + y * y + z * z) : z;
    seen[row] = ok ? 1 : 0;
    if (ok) count++;
  }
  into.count = count;
  return into;
}

/** Whether images of the model go round, so that a point need not be in front. */
export function seesBehind(model: CameraModel): boolean {
  return model === "cylindrical" || model === "equirectangular" || model === "omnidirectional";
}

// Each gives the distorted ray on the normalised image plane (or the two angles), and whether it is seen.
const PLANES: Record<CameraModel, (distortion: Record<string, number>) => ProjectPoint> = {
  brown_conrady(d) {
    const bend = distort(d, of(d, "k4"), of(d, "k5"), of(d, "k6"));
    const limit = monotonicLimit(d, of(d, "k4") !== 0 || of(d, "k5") !== 0 || of(d, "k6") !== 0);
    return (x, y, z, out, at) => bend(x / z, y / z, out, at, limit) && z > 0;
  },
  omnidirectional(d) {
    const xi = of(d, "xi");
    const bend = distort(d, 0, 0, 0); // an omnidirectional k4 moves nothing
    const limit = monotonicLimit(d, of(d, "k4") !== 0 || of(d, "k5") !== 0 || of(d, "k6") !== 0);
    // A mirror with xi > 1 images only the part of the sphere above z = -1/xi; without one, what is in front.
    const lowest = xi > 1 ? -1 / xi : -xi;
    return (x, y, z, out, at) => {
      const norm = Math.sqrt(x * x + y * y + z * z);
      const up = z / norm;
      const shifted = up + xi;
      return bend(x / norm / shifted, y / norm / shifted, out, at, limit) && shifted > 0 && up > lowest;
    };
  },
  fisheye(d) {
    const [k1, k2, k3, k4] = [of(d, "k1"), of(d, "k2"), of(d, "k3"), of(d, "k4")];
    const limit = increasingUntil([3 * k1, 5 * k2, 7 * k3, 9 * k4]);
    return (x, y, z, out, at) => {
      const radius = Math.sqrt(x * x + y * y);
      const theta = Math.atan2(radius, z);
      const t2 = theta * theta;
      const distorted = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))));
      const scale = radius > 0 ? distorted / radius : 0;
      out[at] = x * scale;
      out[at + 1] = y * scale;
      return z > 0 && t2 < limit;
    };
  },
  cylindrical: () => (x, y, z, out, at) => {
    const distance = Math.sqrt(x * x + z * z);
    out[at] = Math.atan2(x, z);
    out[at + 1] = y / distance;
    return distance > 0;
  },
  equirectangular: () => (x, y, z, out, at) => {
    const distance = Math.sqrt(x * x + z * z);
    out[at] = Math.atan2(x, z);
    out[at + 1] = Math.atan2(y, distance);
    return distance > 0 || y !== 0;
  },
};

function of(distortion: Record<string, number>, name: string): number {
  return distortion[name] ?? 0;
}

type Bend = (x: number, y: number, out: Float64Array, at: number, limit: number) => boolean;

/** Radial and tangential distortion; returns whether the squared radius is within the limit. */
function distort(d: Record<string, number>, k4: number, k5: number, k6: number): Bend {
  const [k1, k2, k3] = [of(d, "k1"), of(d, "k2"), of(d, "k3")];
  const [p1, p2, lx, ly] = [of(d, "p1"), of(d, "p2"), of(d, "lx"), of(d, "ly")];
  return (x, y, out, at, limit) => {
    const r2 = x * x + y * y;
    const radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)));
    const sx = x + lx;
    const sy = y + ly;
    out[at] = sx * radial + 2 * p1 * sx * sy + p2 * (r2 + 2 * sx * sx);
    out[at + 1] = sy * radial + p1 * (r2 + 2 * sy * sy) + 2 * p2 * sx * sy;
    return r2 < limit;
  };
}

/** The squared radius up to which the distorted radius grows with the true one; beyond, points would fold back. */
function monotonicLimit(d: Record<string, number>, rational: boolean): number {
  return rational ? Infinity : increasingUntil([3 * of(d, "k1"), 5 * of(d, "k2"), 7 * of(d, "k3")]);
}

/** The first positive root of 1 + c0 s + c1 s² + …, or infinity. */
export function increasingUntil(coefficients: readonly number[]): number {
  // The inverses of the roots are the roots of s^n + c0 s^(n-1) + …, which is safe to solve however small the c are.
  const inverses = realRoots([1, ...coefficients]).filter((root) => root > 1e-12);
  return inverses.length ? 1 / Math.max(...inverses) : Infinity;
}

/** Real roots of a polynomial by falling powers, the first not 0: one between two places where its slope is 0. */
function realRoots(polynomial: readonly number[]): number[] {
  const degree = polynomial.length - 1;
  if (degree < 1) return [];
  const value = (x: number) => polynomial.reduce((sum, coefficient) => sum * x + coefficient, 0);
  const slope = polynomial.slice(0, -1).map((coefficient, index) => coefficient * (degree - index));
  const bound = 1 + Math.max(...polynomial.slice(1).map((c) => Math.abs(c / polynomial[0])));
  const places = [-bound, ...realRoots(slope), bound];
  const roots: number[] = [];
  for (let index = 0; index + 1 < places.length; index++) {
    let [low, high] = [places[index], places[index + 1]];
    const rising = value(low) < 0;
    if (value(low) === 0) roots.push(low);
    else if (value(high) !== 0 && rising !== value(high) < 0) {
      for (let step = 0; step < 200 && low < high; step++) {
        const middle = (low + high) / 2;
        if (middle === low || middle === high) break;
        if (value(middle) < 0 === rising) low = middle;
        else high = middle;
      }
      roots.push((low + high) / 2);
    }
  }
  if (value(bound) === 0) roots.push(bound);
  return roots;
}
