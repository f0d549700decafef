// A renderer without a graphics processor: the points, lines and faces of a three.js scene into an image, in plain loops.
//
// Programs that emulate WebGL take ten times as long for points of two pixels. Browsers without WebGL get the view, too.

import { type BufferGeometry, LineSegments, Matrix4, Mesh, type MeshBasicMaterial, type Object3D, type PerspectiveCamera, Points, type ShaderMaterial } from "three";
import { GROWTH, NEAR_SIZE } from "./cloud";

/** x and y in pixels, and one over the depth, which is linear on the screen. */
type Corner = [number, number, number];

export class SoftwareRenderer {
  private readonly context: CanvasRenderingContext2D;
  private image!: ImageData;
  private pixels!: Uint32Array;
  /** One over the depth: 0 is far away. */
  private depth!: Float32Array;
  private width = 0;
  private height = 0;
  private readonly background: number;

  constructor(private readonly canvas: HTMLCanvasElement, background: number) {
    this.context = canvas.getContext("2d", { alpha: false })!;
    this.background = packed((background >> 16) & 255, (background >> 8) & 255, background & 255);
  }

  setSize(width: number, height: number, _style: boolean): void {
    [this.width, this.height] = [width, height];
    [this.canvas.width, this.canvas.height] = [width, height];
    this.image = this.context.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.depth = new Float32Array(width * height);
  }

  render(scene: Object3D, camera: PerspectiveCamera): void {
    this.pixels.fill(this.background);
    this.depth.fill(0);
    const m = new Matrix4().multiplyMatrices(camera.projectionMatrix, camera.matrixWorldInverse).elements;
    const faces: Mesh<BufferGeometry, MeshBasicMaterial>[] = [];
    scene.traverseVisible((object) => {
      if (object instanceof Points) this.points(object, m, camera.near);
      else if (object instanceof LineSegments) this.lines(object, m, camera.near);
      else if (object instanceof Mesh) faces.push(object);
    });
    // What shines through comes last.
    for (const mesh of faces) this.faces(mesh, m, camera.near);
    this.context.putImageData(this.image, 0, 0);
  }

  private points(object: Points<BufferGeometry, ShaderMaterial>, m: number[], near: number): void {
    const position = object.geometry.getAttribute("position")?.array as Float32Array | undefined;
    const bytes = object.geometry.getAttribute("colour")?.array as Uint8Array | undefined;
    if (!position || !bytes) return;
    const colours = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const usual = object.material.uniforms.size.value as number;
    const { width, height, pixels, depth } = this;
    const [halfX, halfY] = [width / 2, height / 2];
    const [m0, m1, m3, m4, m5, m7, m8, m9, m11, m12, m13, m15] = [m[0], m[1], m[3], m[4], m[5], m[7], m[8], m[9], m[11], m[12], m[13], m[15]];
    for (let i = 0, j = 0; i < colours.length; i++, j += 3) {
      const colour = colours[i];
      if (colour >>> 24 === 0) continue;
      const x = position[j], y = position[j + 1], z = position[j + 2];
      const w = m3 * x + m7 * y + m11 * z + m15;
      if (w < near) continue;
      const inverse = 1 / w;
      const growth = NEAR_SIZE * inverse;
      const size = (usual * (growth < 1 ? 1 : growth > GROWTH ? GROWTH : growth) + 0.5) | 0;
      // The usual case first: whole numbers by |0 round towards 0, which is right where both are positive.
      const px = ((m0 * x + m4 * y + m8 * z + m12) * inverse + 1) * halfX - 0.5 * size + 0.5;
      const py = (1 - (m1 * x + m5 * y + m9 * z + m13) * inverse) * halfY - 0.5 * size + 0.5;
      if (size === 2 && px >= 0 && py >= 0 && px < width - 1 && py < height - 1) {
        const k = (py | 0) * width + (px | 0);
        if (inverse > depth[k]) depth[k] = inverse, pixels[k] = colour;
        if (inverse > depth[k + 1]) depth[k + 1] = inverse, pixels[k + 1] = colour;
        const below = k + width;
        if (inverse > depth[below]) depth[below] = inverse, pixels[below] = colour;
        if (inverse > depth[below + 1]) depth[below + 1] = inverse, pixels[below + 1] = colour;
        continue;
      }
      const left = Math.floor(px), top = Math.floor(py);
      if (left + size <= 0 || top + size <= 0 || left >= width || top >= height) continue;
      const right = Math.min(width, left + size), bottom = Math.min(height, top + size);
      for (let row = Math.max(0, top); row < bottom; row++) {
        for (let k = row * width + Math.max(0, left), end = row * width + right; k < end; k++) {
          if (inverse > depth[k]) {
            depth[k] = inverse;
            pixels[k] = colour;
          }
        }
      }
    }
  }

  private lines(object: LineSegments, m: number[], near: number): void {
    const position = object.geometry.getAttribute("position")?.array as Float32Array | undefined;
    const colour = object.geometry.getAttribute("color")?.array as Uint8Array | undefined;
    if (!position || !colour) return;
    const opacity = (object.material as MeshBasicMaterial).opacity;
    for (let i = 0; i + 5 < position.length; i += 6) {
      const ends = clipped(project(position, i, m), project(position, i + 3, m), near);
      if (ends) this.line(this.corner(ends[0]), this.corner(ends[1]), colour[i], colour[i + 1], colour[i + 2], opacity);
    }
  }

  private line([x0, y0, d0]: Corner, [x1, y1, d1]: Corner, r: number, g: number, b: number, opacity: number): void {
    const { width, height, pixels, depth } = this;
    // The part within the image, as shares of the segment (Liang and Barsky).
    let [from, to] = [0, 1];
    for (const [start, delta, most] of [[x0, x1 - x0, width - 1], [y0, y1 - y0, height - 1]]) {
      const [a, c] = [-start / delta, (most - start) / delta];
      if (delta === 0) {
        if (start < 0 || start > most) return;
      } else {
        from = Math.max(from, Math.min(a, c));
        to = Math.min(to, Math.max(a, c));
      }
    }
    if (from > to) return;
    const steps = Math.max(1, Math.ceil(Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0)) * (to - from)));
    for (let i = 0; i <= steps; i++) {
      const share = from + ((to - from) * i) / steps;
      const k = Math.round(y0 + share * (y1 - y0)) * width + Math.round(x0 + share * (x1 - x0));
      const d = d0 + share * (d1 - d0);
      if (d < depth[k]) continue;
      if (opacity < 1) {
        pixels[k] = mixed(pixels[k], r, g, b, opacity);
      } else {
        pixels[k] = packed(r, g, b);
        depth[k] = d;
      }
    }
  }

  private faces(object: Mesh<BufferGeometry, MeshBasicMaterial>, m: number[], near: number): void {
    const position = object.geometry.getAttribute("position")?.array as Float32Array | undefined;
    if (!position) return;
    const { color, opacity } = object.material;
    const [r, g, b] = [255 * color.r, 255 * color.g, 255 * color.b];
    for (let i = 0; i + 8 < position.length; i += 9) {
      const corners = [0, 3, 6].map((at) => project(position, i + at, m));
      const polygon: Corner[] = [];
      corners.forEach((corner, at) => {
        const ends = clipped(corner, corners[(at + 1) % 3], near);
        if (ends) polygon.push(...ends.map((end) => this.corner(end)));
      });
      if (polygon.length >= 3) this.polygon(polygon, r, g, b, opacity);
    }
  }

  /** A convex polygon, row by row: nothing is hidden by it. */
  private polygon(corners: Corner[], r: number, g: number, b: number, opacity: number): void {
    const { width, height, pixels, depth } = this;
    const ys = corners.map(([, y]) => y);
    const last = Math.min(height - 1, Math.ceil(Math.max(...ys)) - 1);
    for (let row = Math.max(0, Math.ceil(Math.min(...ys))); row <= last; row++) {
      let [left, right, dLeft, dRight] = [Infinity, -Infinity, 0, 0];
      corners.forEach(([x0, y0, d0], i) => {
        const [x1, y1, d1] = corners[(i + 1) % corners.length];
        if (y0 === y1 || row < Math.min(y0, y1) || row > Math.max(y0, y1)) return;
        const share = (row - y0) / (y1 - y0);
        const [x, d] = [x0 + share * (x1 - x0), d0 + share * (d1 - d0)];
        if (x < left) [left, dLeft] = [x, d];
        if (x > right) [right, dRight] = [x, d];
      });
      const slope = right > left ? (dRight - dLeft) / (right - left) : 0;
      const end = Math.min(width - 1, Math.ceil(right) - 1);
      for (let x = Math.max(0, Math.ceil(left)); x <= end; x++) {
        const k = row * width + x;
        if (dLeft + slope * (x - left) >= depth[k]) pixels[k] = mixed(pixels[k], r, g, b, opacity);
      }
    }
  }

  private corner([x, y, w]: Corner): Corner {
    return [(x / w + 1) * 0.5 * this.width - 0.5, (1 - y / w) * 0.5 * this.height - 0.5, 1 / w];
  }
}

/** Clip coordinates x, y and w of a point. */
function project(at: Float32Array, i: number, m: number[]): Corner {
  const [x, y, z] = [at[i], at[i + 1], at[i + 2]];
  return [m[0] * x + m[4] * y + m[8] * z + m[12], m[1] * x + m[5] * y + m[9] * z + m[13], m[3] * x + m[7] * y + m[11] * z + m[15]];
}

/** The part of a segment before the eye; null if there is none. */
function clipped(a: Corner, b: Corner, near: number): [Corner, Corner] | null {
  if (a[2] < near && b[2] < near) return null;
  if (a[2] >= near && b[2] >= near) return [a, b];
  const share = (near - a[2]) / (b[2] - a[2]);
  const cut: Corner = [a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), near];
  return a[2] < near ? [cut, b] : [a, cut];
}

/** A pixel as ImageData holds it on the little-endian machines that browsers run on. */
function packed(r: number, g: number, b: number): number {
  return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
}

function mixed(pixel: number, r: number, g: number, b: number, opacity: number): number {
  const mix = (below: number, above: number) => below + opacity * (above - below);
  return packed(mix(pixel & 255, r), mix((pixel >> 8) & 255, g), mix((pixel >> 16) & 255, b));
}
