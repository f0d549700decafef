// What is shown and chosen: one object, changed by `set`, followed by `subscribe`.

import type { Intrinsics, Matrix, SceneData } from "./data";
import type { FramePoints } from "./decode";
import type { PointColours } from "./colour";
import type { Keys } from "./keys";

export type ColourMode = "frame" | "height" | "intensity" | "device" | "time" | "fate";

export type View = "orbit" | "top" | "side" | "driver";

/** What the 3D view shows besides points. */
export type Layer = "grid" | "region" | "band" | "path" | "axes" | "cameras" | "radar" | "cuboids" | "labels";

/** A correction of a camera by hand: world_from_camera' = world_from_camera @ delta, and ego_from_camera likewise. */
export interface Correction {
  delta: Matrix;
  /** Changed values only. */
  intrinsics: Partial<Pick<Intrinsics, "fx" | "fy" | "cx" | "cy" | "skew" | "distortion">>;
}

/** Frames shown together, at most. */
export const MOST_FRAMES = 20;

export interface State {
  /** Row in SceneData.frames. */
  frame: number;
  /** Frames shown together: 1 for the current one alone, at most MOST_FRAMES. */
  aggregate: number;
  colour: ColourMode;
  /** Rows in SceneData.fates whose points are shown. */
  fates: ReadonlySet<number>;
  layers: ReadonlySet<Layer>;
  /** The view last chosen; "orbit" once the user has turned it. */
  view: View;
  /** Whether the view moves with the device from frame to frame. */
  follow: boolean;
  playing: boolean;
  /** Frames a second when playing. */
  speed: number;
  /** Size of a point in the 3D view, pixels. */
  pointSize: number;
  selected: { frame: number; point: number } | null;
  /** Row in SceneData.cameras. */
  camera: number | null;
  /** By row in SceneData.cameras. */
  corrections: ReadonlyMap<number, Correction>;
}

export type Listener = (state: State, changed: ReadonlySet<keyof State>) => void;

export class Store {
  private readonly listeners = new Set<Listener>();

  constructor(private state: State) {}

  get(): Readonly<State> {
    return this.state;
  }

  /** Change some of the state; listeners are called if anything differs. */
  set(change: Partial<State>): void {
    const changed = new Set<keyof State>();
    for (const key of Object.keys(change) as (keyof State)[]) {
      if (!Object.is(this.state[key], change[key])) changed.add(key);
    }
    if (!changed.size) return;
    this.state = { ...this.state, ...change };
    for (const listener of [...this.listeners]) listener(this.state, changed);
  }

  /** Call a listener after each change; returns the function that ends it. */
  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

/** What the parts of the viewer share. */
export interface App {
  scene: SceneData;
  points: FramePoints;
  colours: PointColours;
  state: Store;
  keys: Keys;
  /** Say something to screen readers. */
  announce(text: string): void;
}

/** The rows of the frames that are shown: as many as `aggregate` says, around the current one. */
export function shownFrames(scene: SceneData, state: Readonly<State>): number[] {
  const count = Math.min(Math.max(1, state.aggregate), scene.frames.length, MOST_FRAMES);
  const first = Math.min(Math.max(0, state.frame - Math.floor((count - 1) / 2)), scene.frames.length - count);
  return Array.from({ length: count }, (_, i) => first + i);
}
