// The numbers of a calibration by hand: what a camera has of them, the correction that they make, and its words.

import type { Intrinsics } from "./data";
import { IDENTITY } from "./geometry";
import { correction } from "./pose";
import type { Correction } from "./state";

export interface Parameter {
  key: string;
  label: string;
  unit: string;
  group: "Rotation" | "Position" | "Lens" | "Distortion";
  title: string;
  rest: number; // the value that changes nothing
  reach: number; // the slider goes so far to both sides
  step: number;
}

export type Values = Record<string, number>;

const PINHOLE = ["fx", "fy", "cx", "cy"] as const;

/** The parameters of a camera, in the order of the sliders. */
export function parametersOf(intrinsics: Intrinsics): Parameter[] {
  const { fx, fy, cx, cy } = intrinsics;
  const width = intrinsics.width ?? 2 * cx;
  const height = intrinsics.height ?? 2 * cy;
  const rotation = (key: string, title: string): Parameter => (
    { key, label: key, unit: "°", group: "Rotation", title, rest: 0, reach: 10, step: 0.05 }
  );
  const position = (key: string, title: string): Parameter => (
    { key, label: key, unit: "m", group: "Position", title, rest: 0, reach: 1, step: 0.005 }
  );
  const lens = (key: string, title: string, rest: number, reach: number, step: number): Parameter => (
    { key, label: key, unit: "px", group: "Lens", title, rest, reach, step }
  );
  const round = intrinsics.model === "cylindrical" || intrinsics.model === "equirectangular";
  const focal = round ? "pixels a radian" : "focal length in pixels";
  return [
    rotation("pitch", "about the camera's x axis: up where positive"),
    rotation("yaw", "about the camera's y axis: to the right where positive"),
    rotation("roll", "about the camera's z axis, its line of sight: clockwise where positive"),
    position("x", "to the camera's right"),
    position("y", "downwards, along the image's columns"),
    position("z", "forwards, along the line of sight"),
    lens("fx", `horizontal ${focal}`, fx, 0.2 * fx, stepOf(fx)),
    lens("fy", `vertical ${focal}`, fy, 0.2 * fy, stepOf(fy)),
    lens("cx", "column of the principal point", cx, 0.1 * width, stepOf(width)),
    lens("cy", "row of the principal point", cy, 0.1 * height, stepOf(height)),
    ...Object.entries(intrinsics.distortion).map(([name, value]) => {
      const [reach, step] = distortionRange(name, value);
      const title = DISTORTION_TITLES[name[0]] ?? "distortion";
      return { key: name, label: name, unit: "", group: "Distortion" as const, title, rest: value, reach, step };
    }),
  ];
}

const DISTORTION_TITLES: Record<string, string> = {
  k: "radial distortion", p: "tangential distortion", l: "shift of the distorted ray", x: "mirror parameter",
};

/** A tenth of a thousandth of a length in pixels, rounded to 1, 2 or 5 of a power of ten. */
function stepOf(pixels: number): number {
  const wanted = Math.max(pixels, 1) / 5000;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const digit = [1, 2, 5, 10].find((one) => one * power >= wanted * 0.999) ?? 10;
  return Number((digit * power).toPrecision(3));
}

function distortionRange(name: string, value: number): [number, number] {
  if (name === "xi") return [1, 0.005];
  if (name.startsWith("k")) return [Math.max(0.5, 2 * Math.abs(value)), 0.001];
  return [Math.max(0.05, 2 * Math.abs(value)), 0.0001];
}

export function restOf(parameters: readonly Parameter[]): Values {
  return Object.fromEntries(parameters.map(({ key, rest }) => [key, rest]));
}

/** The correction that these values make; null where they change nothing. */
export function correctionOf(given: Intrinsics, values: Values): Correction | null {
  const { pitch, yaw, roll, x, y, z } = values;
  const moved = pitch || yaw || roll || x || y || z;
  const intrinsics: Correction["intrinsics"] = {};
  for (const key of PINHOLE) if (values[key] !== given[key]) intrinsics[key] = values[key];
  const distortion: Record<string, number> = {};
  for (const [name, value] of Object.entries(given.distortion)) if (values[name] !== value) distortion[name] = values[name];
  if (Object.keys(distortion).length) intrinsics.distortion = distortion;
  if (!moved && !Object.keys(intrinsics).length) return null;
  return { delta: moved ? correction(pitch, yaw, roll, [x, y, z]) : IDENTITY, intrinsics };
}

/** The correction in words. */
export function describe(parameters: readonly Parameter[], values: Values): string {
  const sentences: string[] = [];
  const way = (key: string, positive: string, negative: string, text: (size: number) => string) =>
    values[key] ? [`${text(Math.abs(values[key]))} ${values[key] > 0 ? positive : negative}`] : [];
  const degrees = (size: number) => `${plain(size, 3)}°`;
  const turned = [
    ...way("pitch", "up", "down", degrees),
    ...way("yaw", "to the right", "to the left", degrees),
    ...way("roll", "clockwise", "counterclockwise", degrees),
  ];
  if (turned.length) {
    const m = correction(values.pitch, values.yaw, values.roll, [0, 0, 0]);
    const whole = (Math.acos(Math.min(1, Math.max(-1, (m[0] + m[5] + m[10] - 1) / 2))) * 180) / Math.PI;
    sentences.push(turned.length === 1 ? `Turned ${turned[0]}.` : `Turned by ${plain(whole, 2)}°: ${turned.join(", ")}.`);
  }
  const centimetres = (size: number) => `${plain(100 * size, 2)} cm`;
  const shifted = [
    ...way("x", "to the right", "to the left", centimetres),
    ...way("y", "down", "up", centimetres),
    ...way("z", "forwards", "backwards", centimetres),
  ];
  if (shifted.length) sentences.push(`Moved ${shifted.join(", ")}.`);
  const lens = parameters
    .filter(({ group, key, rest }) => (group === "Lens" || group === "Distortion") && values[key] !== rest)
    .map(({ key, rest, unit }) => {
      const change = values[key] - rest;
      const sign = change > 0 ? "+" : "−";
      const by = key === "fx" || key === "fy" ? `${plain(Math.abs(100 * change) / rest, 2)} %` : `${plain(Math.abs(change), 5)}${unit && ` ${unit}`}`;
      return `${key} ${plain(values[key], 5)} (${sign}${by})`;
    });
  if (lens.length) sentences.push(`${lens.join(", ")}.`);
  return sentences.join(" ") || "As recorded.";
}

export function plain(value: number, decimals: number): string {
  return String(Number(value.toFixed(decimals)));
}
