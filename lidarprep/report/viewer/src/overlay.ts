// A frame's points and cuboids over one image, written pixel by pixel: the nearest point wins.

import { type Projected, project, projected, projection, seesBehind } from "./camera";
import { OKABE_ITO, VIRIDIS, css } from "./colour";
import type { CuboidData, ImageData as ImageEntry, Intrinsics, Matrix, Vector } from "./data";
import { apply, compose, fromQuaternion, invert } from "./geometry";
import type { App, Correction } from "./state";

/** How points are drawn over images. */
export interface OverlayOptions {
  points: boolean;
  colour: "depth" | "view"; // by depth, or as in the 3D view
  size: number; // 1 to 4 pixels of the canvas; 0: as is good to see
  edges: boolean; // points at the edges of things only
  dim: boolean; // the image darker, so that points stand out
  cuboids: boolean;
}

/** Canvases are at most so wide, where the page has no JPEG that says it. */
const WIDEST = 1280;

/** Depths of the ends of the scale, metres; in between it is logarithmic. */
export const NEAREST = 2;
export const FARTHEST = 80;

/** Where a cuboid's edges are cut off before the camera, metres. */
const NEAR_PLANE = 0.1;
/** An edge is drawn in so many pieces, since distortion bends it. */
const PIECES = 24;

/** A camera of one image, corrections by hand applied. */
export interface View {
  intrinsics: Intrinsics;
  worldFromCamera: Matrix | null;
}

export function viewOf(app: App, image: ImageEntry): View {
  const own = image.intrinsics ?? app.scene.cameras[image.camera];
  const correction = app.state.get().corrections.get(image.camera);
  const pose = image.world_from_camera;
  if (!correction) return { intrinsics: own, worldFromCamera: pose };
  return {
    intrinsics: correctedIntrinsics(own, correction),
    worldFromCamera: pose && compose(pose, correction.delta),
  };
}

export function correctedIntrinsics(own: Intrinsics, { intrinsics }: Correction): Intrinsics {
  return { ...own, ...intrinsics, distortion: { ...own.distortion, ...intrinsics.distortion } };
}

/** The row of viridis of a depth: near is bright, far is dark, in equal steps of the logarithm. */
export function depthShade(depth: number): number {
  const share = Math.log(depth / NEAREST) / Math.log(FARTHEST / NEAREST);
  return 255 - Math.round(255 * Math.min(1, Math.max(0, share)));
}

// Room for projections, shared: drawing is not interrupted.
let scratch: Projected = projected(0);
let nearest = new Float32Array(0);

function room(points: number): Projected {
  if (scratch.seen.length < points) scratch = projected(points);
  return scratch;
}

/** Pixels of the image as it was decoded, and of the canvas that it is drawn on. */
export interface Base {
  width: number;
  height: number;
  pixels: Uint32Array | null; // RGBA; null: dark
  problem: string | null;
}

/** The image of the page, decoded; or a dark one, with what is wrong. */
export async function loadBase(frame: number, row: number, image: ImageEntry): Promise<Base> {
  if (!image.problem && image.shown) {
    try {
      const text = document.getElementById(`image-${frame}-${row}`)?.textContent;
      if (!text) throw new Error("the page does not have it");
      const bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
      const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
      const { width, height } = bitmap;
      const context = context2d(new OffscreenCanvas(width, height));
      context.drawImage(bitmap, 0, 0);
      bitmap.close();
      return { width, height, pixels: new Uint32Array(context.getImageData(0, 0, width, height).data.buffer), problem: null };
    } catch (error) {
      return dark(image, `The image can't be decoded: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return dark(image, image.problem ?? "The page does not hold this image.");
}

function dark(image: ImageEntry, problem: string): Base {
  const own = { width: image.width || 640, height: image.height || 360 };
  const scale = Math.min(1, WIDEST / own.width);
  return { width: Math.max(1, Math.round(own.width * scale)), height: Math.max(1, Math.round(own.height * scale)), pixels: null, problem };
}

function context2d(canvas: OffscreenCanvas): OffscreenCanvasRenderingContext2D {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("this browser draws no images");
  return context;
}

/** How many points of how many are in the image. */
export interface Share {
  inside: number;
  total: number;
}

/** From pixels of the intrinsics to those of the canvas: the one that holds it is floor((u + 0.5) * x). */
export function canvasScale(image: ImageEntry, base: Base): { x: number; y: number } {
  return {
    x: base.width / ((image.width || base.width) * image.scale_factor),
    y: base.height / ((image.height || base.height) * image.scale_factor),
  };
}

/** Draw the image and the points of these frames over it; frames whose points are not decoded by now are passed over. */
export function draw(
  app: App, canvas: HTMLCanvasElement, image: ImageEntry, base: Base, frames: readonly number[], options: OverlayOptions,
): Share {
  const { width, height } = base;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const share: Share = { inside: 0, total: 0 };
  if (!context) return share;
  const data = context.createImageData(width, height);
  const out = new Uint32Array(data.data.buffer);
  if (base.pixels === null) out.fill(0xff1c1815);
  else if (!options.dim) out.set(base.pixels);
  else for (let i = 0; i < out.length; i++) out[i] = ((base.pixels[i] >>> 1) & 0x7f7f7f) | 0xff000000;
  const view = viewOf(app, image);
  if (view.worldFromCamera) {
    if (nearest.length < out.length) nearest = new Float32Array(out.length);
    nearest.fill(Infinity, 0, out.length);
    const scale = canvasScale(image, base);
    for (const frame of frames) {
      const points = app.points.get(frame);
      const colours = points ? app.colours.of(frame) : null;
      if (!points || !colours) continue;
      const found = project(view.intrinsics, view.worldFromCamera, points.position, room(points.count));
      share.total += points.count;
      const edges = options.edges ? depthEdges(found, points.count, colours, base, scale) : null;
      const drawn = (edges ? edges.count : found.count) * frames.length;
      const size = options.size || goodSize(base, canvas.clientWidth || width, drawn);
      share.inside += splat(found, points.count, colours, out, base, scale, options, size, edges?.isEdge ?? null);
    }
  }
  context.putImageData(data, 0, 0);
  if (view.worldFromCamera) {
    const main = frames.includes(app.state.get().frame) ? app.state.get().frame : frames[0];
    if (options.cuboids && main !== undefined) {
      for (const cuboid of app.scene.frames[main].cuboids) drawCuboid(context, cuboid, view, image, base);
    }
    markSelected(app, context, view, image, base);
  }
  return share;
}

/** Three pixels of the screen, but less where so many points would hide the image: they cover a fifth of it. */
function goodSize({ width, height }: Base, shownWidth: number, points: number): number {
  const side = Math.min((3 * width) / shownWidth, Math.sqrt((0.2 * width * height) / Math.max(1, points)));
  return Math.min(6, Math.max(1, Math.round(side)));
}

/** Cells across an image, in which depths are compared. */
const CELLS = 200;

/**
 * The points at the near side of a jump in depth: beside them, in the image, there are only things clearly farther
 * away. Beside is to the left and right: between the rings of a lidar nothing is known.
 */
function depthEdges(
  { pixels, depth, seen }: Projected, count: number, colours: Uint8Array, base: Base, scale: { x: number; y: number },
): { isEdge: Uint8Array; count: number } {
  const side = base.width / CELLS;
  const rows = Math.ceil(base.height / side);
  const nearestIn = new Float32Array(CELLS * rows).fill(Infinity);
  const cellOf = new Int32Array(count).fill(-1);
  for (let row = 0; row < count; row++) {
    if (!seen[row] || !colours[4 * row + 3]) continue;
    const column = Math.floor(((pixels[2 * row] + 0.5) * scale.x) / side);
    const line = Math.floor(((pixels[2 * row + 1] + 0.5) * scale.y) / side);
    if (column < 0 || column >= CELLS || line < 0 || line >= rows) continue;
    const cell = line * CELLS + column;
    cellOf[row] = cell;
    if (depth[row] < nearestIn[cell]) nearestIn[cell] = depth[row];
  }
  const isEdge = new Uint8Array(count);
  let edges = 0;
  for (let row = 0; row < count; row++) {
    const cell = cellOf[row];
    if (cell < 0) continue;
    const farther = 1.12 * depth[row] + 0.4;
    if (depth[row] > 1.05 * nearestIn[cell] + 0.2) continue; // something nearer hides it
    const column = cell % CELLS;
    const beside = (by: number) => column + by >= 0 && column + by < CELLS && nearestIn[cell + by] !== Infinity && nearestIn[cell + by] > farther;
    if (!beside(-1) && !beside(1)) continue;
    isEdge[row] = 1;
    edges++;
  }
  return { isEdge, count: edges };
}

/** Write points as squares; returns how many are in the image, hidden ones too. */
function splat(
  found: Projected, count: number, colours: Uint8Array, out: Uint32Array, base: Base, scale: { x: number; y: number },
  options: OverlayOptions, size: number, isEdge: Uint8Array | null,
): number {
  const { width, height } = base;
  const { pixels, depth, seen } = found;
  const before = (size - 1) >> 1;
  const byDepth = options.colour === "depth";
  let inside = 0;
  for (let row = 0; row < count; row++) {
    if (!seen[row]) continue;
    const column = Math.floor((pixels[2 * row] + 0.5) * scale.x);
    const line = Math.floor((pixels[2 * row + 1] + 0.5) * scale.y);
    if (column < 0 || column >= width || line < 0 || line >= height) continue;
    inside++;
    if (!options.points || !colours[4 * row + 3] || (isEdge && !isEdge[row])) continue;
    const z = depth[row];
    let r = colours[4 * row], g = colours[4 * row + 1], b = colours[4 * row + 2];
    if (byDepth) {
      const at = 3 * depthShade(z);
      r = VIRIDIS[at];
      g = VIRIDIS[at + 1];
      b = VIRIDIS[at + 2];
    }
    const colour = (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
    const left = Math.max(0, column - before), right = Math.min(width, column - before + size);
    const top = Math.max(0, line - before), bottom = Math.min(height, line - before + size);
    for (let y = top; y < bottom; y++) {
      for (let i = y * width + left; i < y * width + right; i++) {
        if (z < nearest[i]) {
          nearest[i] = z;
          out[i] = colour;
        }
      }
    }
  }
  return inside;
}

/** The drawn point nearest to a place on the canvas, within so many of its pixels. */
export function pointAt(
  app: App, image: ImageEntry, base: Base, frames: readonly number[], x: number, y: number, within: number,
): { frame: number; point: number } | null {
  const view = viewOf(app, image);
  if (!view.worldFromCamera) return null;
  const scale = canvasScale(image, base);
  let best: { frame: number; point: number } | null = null;
  let bestDistance = within * within, bestDepth = Infinity;
  for (const frame of frames) {
    const points = app.points.get(frame);
    const colours = points ? app.colours.of(frame) : null;
    if (!points || !colours) continue;
    const { pixels, depth, seen } = project(view.intrinsics, view.worldFromCamera, points.position, room(points.count));
    for (let row = 0; row < points.count; row++) {
      if (!seen[row] || !colours[4 * row + 3]) continue;
      const dx = (pixels[2 * row] + 0.5) * scale.x - x;
      const dy = (pixels[2 * row + 1] + 0.5) * scale.y - y;
      const distance = dx * dx + dy * dy;
      if (distance > bestDistance || (distance === bestDistance && depth[row] >= bestDepth)) continue;
      best = { frame, point: row };
      bestDistance = distance;
      bestDepth = depth[row];
    }
  }
  return best;
}

// ---- what is drawn over the points -------------------------------------------------------------------------------

type Context = CanvasRenderingContext2D;

function markSelected(app: App, context: Context, view: View, image: ImageEntry, base: Base): void {
  const selected = app.state.get().selected;
  const points = selected && app.points.get(selected.frame);
  if (!selected || !points || !view.worldFromCamera) return;
  const at = 3 * selected.point;
  const place = new Float64Array(2);
  const position: Vector = [points.position[at], points.position[at + 1], points.position[at + 2]];
  if (!projection(view.intrinsics)(...apply(invert(view.worldFromCamera), position), place, 0)) return;
  const scale = canvasScale(image, base);
  const [x, y] = [(place[0] + 0.5) * scale.x, (place[1] + 0.5) * scale.y];
  const radius = Math.max(6, base.width / 90);
  for (const [colour, line] of [["#000", 4], ["#fff", 2]] as const) {
    context.strokeStyle = colour;
    context.lineWidth = (line * radius) / 8;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 0.6 * radius * dx, y + 0.6 * radius * dy);
      context.lineTo(x + 1.6 * radius * dx, y + 1.6 * radius * dy);
    }
    context.stroke();
  }
}

// Corners by the signs of their coordinates: bit 0 is x, bit 1 y, bit 2 z.
const EDGES = [[0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [1, 3], [4, 6], [5, 7], [0, 4], [1, 5], [2, 6], [3, 7]] as const;

function drawCuboid(context: Context, cuboid: CuboidData, view: View, image: ImageEntry, base: Base): void {
  const cameraFromBox = compose(invert(view.worldFromCamera!), fromQuaternion(cuboid.rotation, cuboid.center));
  const corner = (sides: number): Vector =>
    apply(cameraFromBox, [0, 1, 2].map((axis) => cuboid.size[axis] * ((sides >> axis) & 1 ? 0.5 : -0.5)) as Vector);
  // Pixels beyond the image's edge count here: an edge may leave and enter it.
  const point = projection({ ...view.intrinsics, width: null, height: null });
  const round = seesBehind(view.intrinsics.model);
  const scale = canvasScale(image, base);
  const front = cuboid.front === "x" ? 0 : 1;
  const onFront = (sides: number) => ((sides >> front) & 1) === 1;
  const colour = css(OKABE_ITO[labelNumber(cuboid.label) % OKABE_ITO.length]);
  const width = Math.max(1, base.width / 700);
  let label: [number, number] | null = null;
  const place = new Float64Array(2);
  for (const [from, to] of EDGES) {
    const clipped = round ? ([corner(from), corner(to)] as const) : inFront(corner(from), corner(to));
    if (!clipped) continue;
    const [a, b] = clipped;
    context.beginPath();
    let previous: [number, number] | null = null;
    for (let piece = 0; piece <= PIECES; piece++) {
      const share = piece / PIECES;
      const [x, y, z] = a.map((value, axis) => value + share * (b[axis] - value)) as Vector;
      let here: [number, number] | null = null;
      if (point(x, y, z, place, 0)) here = [(place[0] + 0.5) * scale.x, (place[1] + 0.5) * scale.y];
      // Images that go round are cut behind the camera: a line does not cross all of the image.
      if (here && previous && Math.abs(here[0] - previous[0]) < base.width / 2) context.lineTo(...here);
      else if (here) context.moveTo(...here);
      if (here && here[0] >= 0 && here[0] < base.width && here[1] >= 0 && here[1] < base.height && (!label || here[1] < label[1])) {
        label = here;
      }
      previous = here;
    }
    context.setLineDash(cuboid.prelabel ? [4 * width, 3 * width] : []);
    context.strokeStyle = "rgb(0 0 0 / 0.6)";
    context.lineWidth = 2.4 * width;
    context.stroke();
    context.strokeStyle = colour;
    context.lineWidth = (onFront(from) && onFront(to) ? 2.2 : 1.2) * width;
    context.stroke();
  }
  context.setLineDash([]);
  if (label) tag(context, cuboid.label, label, colour, base);
}

/** The part of a line before the camera, or null. */
function inFront(a: Vector, b: Vector): readonly [Vector, Vector] | null {
  if (a[2] < NEAR_PLANE && b[2] < NEAR_PLANE) return null;
  const cut = (behind: Vector, other: Vector): Vector => {
    if (behind[2] >= NEAR_PLANE) return behind;
    const share = (NEAR_PLANE - behind[2]) / (other[2] - behind[2]);
    return behind.map((value, axis) => value + share * (other[axis] - value)) as Vector;
  };
  return [cut(a, b), cut(b, a)];
}

function tag(context: Context, text: string, [x, y]: [number, number], colour: string, base: Base): void {
  const size = (12 * base.width) / (context.canvas.clientWidth || base.width); // 12 pixels of the screen
  context.font = `600 ${size}px system-ui, sans-serif`;
  const width = context.measureText(text).width + 0.6 * size;
  const left = Math.min(Math.max(0, x - width / 2), Math.max(0, base.width - width));
  const top = Math.max(0, y - 1.5 * size);
  context.fillStyle = colour;
  context.fillRect(left, top, width, 1.3 * size);
  context.fillStyle = "#000";
  context.fillText(text, left + 0.3 * size, top + size);
}

/** The same number for the same label, in every frame. */
function labelNumber(label: string): number {
  let sum = 0;
  for (const letter of label) sum = (31 * sum + letter.codePointAt(0)!) % 65521;
  return sum;
}
