// Colours of points. The tables are those of lidarprep/report/colours.py; colour-blind people can read both.

import type { FrameData, SceneData } from "./data";
import { IDENTITY, invert } from "./geometry";
import type { FramePoints, Points } from "./decode";
import { type ColourMode, type State, type Store, shownFrames } from "./state";

export type Rgb = readonly [number, number, number];

/** viridis of Matplotlib (CC0): 256 colours, r, g, b. */
export const VIRIDIS = fromHex(
  "44015444025645045745055946075a46085c460a5d460b5e470d60470e61471063471164471365481467481668481769" +
  "48186a481a6c481b6d481c6e481d6f481f70482071482173482374482475482576482677482878482979472a7a472c7a" +
  "472d7b472e7c472f7d46307e46327e46337f463480453581453781453882443983443a83443b84433d84433e85423f85" +
  "4240864241864142874144874045884046883f47883f48893e49893e4a893e4c8a3d4d8a3d4e8a3c4f8a3c508b3b518b" +
  "3b528b3a538b3a548c39558c39568c38588c38598c375a8c375b8d365c8d365d8d355e8d355f8d34608d34618d33628d" +
  "33638d32648e32658e31668e31678e31688e30698e306a8e2f6b8e2f6c8e2e6d8e2e6e8e2e6f8e2d708e2d718e2c718e" +
  "2c728e2c738e2b748e2b758e2a768e2a778e2a788e29798e297a8e297b8e287c8e287d8e277e8e277f8e27808e26818e" +
  "26828e26828e25838e25848e25858e24868e24878e23888e23898e238a8d228b8d228c8d228d8d218e8d218f8d21908d" +
  "21918c20928c20928c20938c1f948c1f958b1f968b1f978b1f988b1f998a1f9a8a1e9b8a1e9c891e9d891f9e891f9f88" +
  "1fa0881fa1881fa1871fa28720a38620a48621a58521a68522a78522a88423a98324aa8325ab8225ac8226ad8127ad81" +
  "28ae8029af7f2ab07f2cb17e2db27d2eb37c2fb47c31b57b32b67a34b67935b77937b87838b9773aba763bbb753dbc74" +
  "3fbc7340bd7242be7144bf7046c06f48c16e4ac16d4cc26c4ec36b50c46a52c56954c56856c66758c7655ac8645cc863" +
  "5ec96260ca6063cb5f65cb5e67cc5c69cd5b6ccd5a6ece5870cf5773d05675d05477d1537ad1517cd2507fd34e81d34d" +
  "84d44b86d54989d5488bd6468ed64590d74393d74195d84098d83e9bd93c9dd93ba0da39a2da37a5db36a8db34aadc32" +
  "addc30b0dd2fb2dd2db5de2bb8de29bade28bddf26c0df25c2df23c5e021c8e020cae11fcde11dd0e11cd2e21bd5e21a" +
  "d8e219dae319dde318dfe318e2e418e5e419e7e419eae51aece51befe51cf1e51df4e61ef6e620f8e621fbe723fde725",
);

/** Okabe and Ito's colours; their black is grey here, since points are drawn on a dark ground. */
export const OKABE_ITO: readonly Rgb[] = [
  [230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0], [204, 121, 167], [187, 187, 187],
];

/** By fate: what is kept is bright, what is dropped a darker grey or brown by its reason, in every colour mode. */
export const FATES: readonly Rgb[] = [
  [86, 180, 233], [107, 107, 107], [138, 109, 75], [79, 107, 92], [125, 90, 125], [255, 0, 0],
];

const PLAIN: Rgb = OKABE_ITO[7];

function fromHex(text: string): Uint8Array {
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

/** The colour of a value from 0 to 1. */
export function viridis(value: number): Rgb {
  const at = 3 * Math.round(255 * Math.min(1, Math.max(0, value)));
  return [VIRIDIS[at], VIRIDIS[at + 1], VIRIDIS[at + 2]];
}

export function css([r, g, b]: Rgb): string {
  return `rgb(${r}, ${g}, ${b})`;
}

export function fateColour(fate: number): Rgb {
  return FATES[fate % FATES.length];
}

/** The colour of a kind: a device, a label. */
export function kindColour(kind: number): Rgb {
  return OKABE_ITO[kind % OKABE_ITO.length];
}

/** The colour of the i-th of n frames shown together: few get colours far apart, more run from dark to bright. */
export function frameColour(i: number, n: number): Rgb {
  return n <= OKABE_ITO.length ? OKABE_ITO[i] : viridis((40 + Math.round((215 * i) / (n - 1))) / 255);
}

/** Why points can't be coloured so; null if they can. */
export function colourProblem(scene: SceneData, mode: ColourMode): string | null {
  const has = (column: string) => scene.frames.some((frame) => frame.points?.columns.includes(column));
  if (mode === "intensity" && !has("intensity")) return "The points have no intensity.";
  if (mode === "device" && (!has("device") || scene.devices.length < 2)) return "All points are of one device.";
  if (mode === "time" && !has("time")) return "The points have no times of their own.";
  if (mode === "fate" && !has("fate")) return "No points were dropped: all are kept.";
  return null;
}

/** Heights of a frame's points over the device, metres, or over the ground where the device's height is known. */
export function heights(points: Points, frame: FrameData, deviceHeight: number): Float32Array {
  const m = invert(frame.world_from_ego ?? IDENTITY);
  const out = new Float32Array(points.count);
  const at = points.position;
  for (let i = 0, j = 0; i < out.length; i++, j += 3) {
    out[i] = m[8] * at[j] + m[9] * at[j + 1] + m[10] * at[j + 2] + m[11] + deviceHeight;
  }
  return out;
}

/** Colours of the frames' points: r, g, b, and 255 where the point is shown, 0 where its fate hides it. */
export class PointColours {
  private readonly cache = new Map<number, { key: string; colours: Uint8Array }>();
  private range: [number, number] | null = null;

  constructor(private readonly scene: SceneData, private readonly points: FramePoints, private readonly state: Store) {}

  /** The heights that the ends of the scale stand for: of the first frame decoded, without its highest and lowest 1 %. */
  get heightRange(): [number, number] {
    return this.range ?? [0, 1];
  }

  /** (4 N) colours of a frame whose points are decoded; the array is not to be changed. */
  of(row: number): Uint8Array | null {
    const points = this.points.get(row);
    if (!points) return null;
    const state = this.state.get();
    const key = this.keyOf(row);
    const known = this.cache.get(row);
    if (known?.key === key) return known.colours;
    const colours = known?.colours ?? new Uint8Array(4 * points.count);
    const frames = shownFrames(this.scene, state);
    this.paint(points, row, state, frameColour(Math.max(0, frames.indexOf(row)), frames.length), colours);
    this.cache.set(row, { key, colours });
    for (const other of this.cache.keys()) if (!this.points.has(other)) this.cache.delete(other);
    return colours;
  }

  /** Names the colours that a frame has now: another key, other colours. */
  keyOf(row: number): string {
    const state = this.state.get();
    const key = `${state.colour} ${[...state.fates].sort().join()}`;
    if (state.colour !== "frame") return key;
    const frames = shownFrames(this.scene, state);
    return `${key} ${frames.indexOf(row)}/${frames.length}`;
  }

  private paint(points: Points, row: number, state: Readonly<State>, own: Rgb, out: Uint8Array): void {
    const table = new Uint8Array(3 * 256);
    let value: Uint8Array | null = null;
    if (state.colour === "height") {
      const z = heights(points, this.scene.frames[row], this.scene.band?.device_height ?? 0);
      const [low, high] = (this.range ??= trimmedRange(z));
      value = new Uint8Array(points.count);
      const scale = 255 / (high - low);
      for (let i = 0; i < z.length; i++) value[i] = Math.min(255, Math.max(0, (z[i] - low) * scale));
      table.set(VIRIDIS);
    } else if (state.colour === "intensity" && points.intensity) {
      value = points.intensity;
      table.set(VIRIDIS);
    } else if (state.colour === "time" && points.time) {
      value = Uint8Array.from(points.time, (time) => time >> 8);
      table.set(VIRIDIS);
    } else if (state.colour === "device" && points.device) {
      value = points.device;
      for (let i = 0; i < 256; i++) table.set(kindColour(i), 3 * i);
    } else if (state.colour === "fate") {
      value = points.fate ?? new Uint8Array(points.count);
      for (let i = 0; i < 256; i++) table.set(fateColour(i), 3 * i);
    } else {
      value = new Uint8Array(points.count);
      table.set(state.colour === "frame" ? own : PLAIN);
    }
    const shown = new Uint8Array(256);
    for (const fate of state.fates) shown[fate] = 255;
    for (let i = 0, j = 0; i < points.count; i++, j += 4) {
      const fate = points.fate ? points.fate[i] : 0;
      if (fate === 0) {
        const k = 3 * value[i];
        out[j] = table[k];
        out[j + 1] = table[k + 1];
        out[j + 2] = table[k + 2];
      } else {
        const [r, g, b] = fateColour(fate);
        out[j] = r;
        out[j + 1] = g;
        out[j + 2] = b;
      }
      out[j + 3] = shown[fate];
    }
  }
}

/** The range of a sample of the values without the outer 1 %, at least 1 wide. */
function trimmedRange(values: Float32Array): [number, number] {
  const step = Math.max(1, Math.floor(values.length / 20000));
  const sample = values.filter((_, i) => i % step === 0).sort();
  const low = sample[Math.floor(0.01 * (sample.length - 1))] ?? 0;
  const high = sample[Math.ceil(0.99 * (sample.length - 1))] ?? 1;
  return high - low >= 1 ? [low, high] : [(low + high) / 2 - 0.5, (low + high) / 2 + 0.5];
}
