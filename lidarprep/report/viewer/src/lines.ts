// Line segments in one draw call: boxes, paths, frusta.

import { BufferAttribute, BufferGeometry, LineBasicMaterial, LineSegments } from "three";
import type { Rgb } from "./colour";
import type { Matrix, Vector } from "./data";
import { apply } from "./geometry";

export class Lines {
  readonly object: LineSegments<BufferGeometry, LineBasicMaterial>;
  private positions: number[] = [];
  private colours: number[] = [];

  constructor(opacity = 1) {
    const material = new LineBasicMaterial({ vertexColors: true, transparent: opacity < 1, opacity });
    this.object = new LineSegments(new BufferGeometry(), material);
    this.object.frustumCulled = false;
  }

  segment(a: Vector, b: Vector, colour: Rgb): void {
    this.positions.push(...a, ...b);
    this.colours.push(...colour, ...colour);
  }

  /** A segment as n dashes. */
  dashes(a: Vector, b: Vector, colour: Rgb, n: number): void {
    const at = (share: number): Vector => [a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2])];
    for (let i = 0; i < n; i++) this.segment(at(i / n), at((i + 0.6) / n), colour);
  }

  /** A line through points, closed or not. */
  polyline(points: Vector[], colour: Rgb, closed = false): void {
    for (let i = 1; i < points.length; i++) this.segment(points[i - 1], points[i], colour);
    if (closed && points.length > 2) this.segment(points[points.length - 1], points[0], colour);
  }

  /** Put what was drawn since the last time into the object. */
  finish(): void {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(new Float32Array(this.positions), 3));
    geometry.setAttribute("color", new BufferAttribute(new Uint8Array(this.colours), 3, true));
    this.object.geometry.dispose();
    this.object.geometry = geometry;
    this.positions = [];
    this.colours = [];
  }
}

/** The four corners of a rectangle about the origin of a transform's x–y plane, at a height. */
export function rectangle(m: Matrix, length: number, width: number, z: number): Vector[] {
  const [x, y] = [length / 2, width / 2];
  return ([[-x, -y, z], [x, -y, z], [x, y, z], [-x, y, z]] as Vector[]).map((corner) => apply(m, corner));
}
