// Points of the frames: from the page's blobs (base64 of gzip of columns) to typed arrays, decoded when first needed.

import type { PointsData, SceneData } from "./data";

export interface Points {
  count: number;
  /** x, y, z of each point in the viewer's world, metres. */
  position: Float32Array;
  /** Rows in SceneData.fates; null: all are kept. */
  fate: Uint8Array | null;
  /** 0 to 255 for 0 to 1. */
  intensity: Uint8Array | null;
  /** Rows in SceneData.devices. */
  device: Uint8Array | null;
  /** 0 to 65535 over the frame's span. */
  time: Uint16Array | null;
}

/** Beyond so many decoded points, the frames not used for longest are dropped, but not the last used ones. */
const MOST_POINTS = 6_000_000;
/** More than are ever shown together: what is shown is never dropped. */
const FEWEST_FRAMES = 40;

async function inflate(base64: string): Promise<Uint8Array> {
  const text = atob(base64.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Undo the delta coding of one coordinate: N low bytes, then N high bytes of differences modulo 65536. */
function undoDeltas(bytes: Uint8Array, at: number, count: number, origin: number, step: number, out: Float32Array, axis: number): void {
  let value = 0;
  for (let i = 0; i < count; i++) {
    value = (value + bytes[at + i] + (bytes[at + count + i] << 8)) & 0xffff;
    out[3 * i + axis] = origin + step * value;
  }
}

const BYTES_A_POINT: Record<string, number> = { position: 6, fate: 1, intensity: 1, device: 1, time: 2 };

/** The columns of an unpacked blob. */
export function readColumns(bytes: Uint8Array, data: PointsData): Points {
  const count = data.shown;
  const wanted = data.columns.reduce((sum, name) => sum + (BYTES_A_POINT[name] ?? NaN), 0) * count;
  if (bytes.length !== wanted) throw new Error(`its points have ${bytes.length} bytes, not ${wanted}`);
  const points: Points = {
    count, position: new Float32Array(3 * count), fate: null, intensity: null, device: null, time: null,
  };
  let at = 0;
  for (const name of data.columns) {
    const end = at + BYTES_A_POINT[name] * count;
    if (name === "position") {
      for (let axis = 0; axis < 3; axis++) {
        undoDeltas(bytes, at + 2 * count * axis, count, data.origin[axis], data.step[axis], points.position, axis);
      }
    } else if (name === "time") {
      points.time = new Uint16Array(count);
      for (let i = 0; i < count; i++) points.time[i] = bytes[at + 2 * i] | (bytes[at + 2 * i + 1] << 8);
    } else if (name === "fate" || name === "intensity" || name === "device") {
      points[name] = bytes.slice(at, end);
    }
    at = end;
  }
  return points;
}

/** The points of all frames of the page. */
export class FramePoints {
  /** Least recently used first: a Map keeps its order. */
  private readonly decoded = new Map<number, Points>();
  private readonly pending = new Map<number, Promise<Points | null>>();
  /** Why a frame's points could not be read, by row. */
  readonly problems = new Map<number, string>();

  constructor(private readonly scene: SceneData, private readonly page: Document) {}

  /** The points of a frame if they are decoded by now; null if the frame has none. */
  get(row: number): Points | null | undefined {
    if (this.hasNone(row)) return null;
    const points = this.decoded.get(row);
    if (points) {
      this.decoded.delete(row);
      this.decoded.set(row, points);
    }
    return points;
  }

  /** Whether a frame is decoded by now; not a use of it. */
  has(row: number): boolean {
    return this.decoded.has(row);
  }

  /** The points of a frame, decoded now if need be; null if the frame has none or they can't be read. */
  load(row: number): Promise<Points | null> {
    const known = this.get(row);
    if (known !== undefined) return Promise.resolve(known);
    let promise = this.pending.get(row);
    if (!promise) {
      promise = this.decode(row).finally(() => this.pending.delete(row));
      this.pending.set(row, promise);
    }
    return promise;
  }

  private hasNone(row: number): boolean {
    return !this.scene.frames[row]?.points || this.problems.has(row);
  }

  private async decode(row: number): Promise<Points | null> {
    try {
      const text = this.page.getElementById(`points-${row}`)?.textContent;
      if (!text) throw new Error("the page has no points of this frame");
      const points = readColumns(await inflate(text), this.scene.frames[row].points!);
      this.decoded.set(row, points);
      this.dropOldest(row);
      return points;
    } catch (error) {
      this.problems.set(row, `can't be read: ${error instanceof Error ? error.message : String(error)}`);
      return null;
    }
  }

  private dropOldest(newest: number): void {
    let total = 0;
    for (const points of this.decoded.values()) total += points.count;
    for (const [row, points] of this.decoded) {
      if (total <= MOST_POINTS || this.decoded.size <= FEWEST_FRAMES) break;
      if (row === newest) continue;
      this.decoded.delete(row);
      total -= points.count;
    }
  }
}
