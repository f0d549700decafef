// The viewer as a whole: its layout, and what ties its parts together.

import { mountCalibration } from "./calibration";
import { colourProblem, PointColours } from "./colour";
import { mountControls, mountTimeline, mountViews } from "./controls";
import type { SceneData, Vector } from "./data";
import { FramePoints } from "./decode";
import { h } from "./dom";
import type { Frustum } from "./frusta";
import { mountImages } from "./images";
import { mountInspector } from "./inspector";
import { Keys } from "./keys";
import { mountLegend } from "./legend";
import { startPlayer } from "./player";
import { type Drawing, Stage } from "./stage";
import { type App, shownFrames, Store } from "./state";

/** What tests and the console get as window.lidarprep. */
export interface Handle {
  app: App;
  state: Store;
  /** Eye and target of the 3D view, metres in the viewer's world. */
  cameraPosition(): number[];
  cameraTarget(): number[];
  /** Pixel of the canvas at which a point is drawn. */
  screenOf(frame: number, point: number): [number, number] | null;
  /** The camera frusta as they are drawn. */
  frusta(): Frustum[];
  /** Pixel of the canvas of a place in the viewer's world. */
  pixelOf(at: Vector): [number, number] | null;
  /** Orbits as fast as it is drawn. */
  framesPerSecond(seconds: number): Promise<number>;
  /** Draw by WebGL or without it; the viewer chooses by itself which is faster. */
  drawWith(drawing: Drawing): void;
}

export function mountViewer(section: HTMLElement, scene: SceneData): Handle {
  const live = h("div", { class: "lv-hidden", "aria-live": "polite" });
  const said = h("div", { class: "lv-hidden", "aria-live": "polite" });
  const root = h("div", { class: "lv-viewer" });
  section.append(root);
  const state = new Store({
    frame: 0, aggregate: 1, colour: "height", fates: new Set(scene.fates.keys()), pointSize: 2, selected: null,
    layers: new Set(["grid", "region", "path", "axes", "cameras", "radar", "cuboids", "labels"]),
    view: "orbit", follow: true, playing: false, speed: 5, camera: null, corrections: new Map(),
  });
  if (colourProblem(scene, "height")) state.set({ colour: "frame" });
  const points = new FramePoints(scene, document);
  const app: App = {
    scene, points, state, colours: new PointColours(scene, points, state), keys: new Keys(root),
    announce: (text) => (said.textContent = text),
  };

  const views = h("div", { class: "lv-views" });
  const legend = h("div", { class: "lv-card lv-legend" });
  const inspector = h("div", { class: "lv-card lv-inspector", role: "region", "aria-label": "Selected point", hidden: true });
  const notes = h("div", { class: "lv-notes" });
  const canvas = h("div", { class: "lv-stage" }, notes, views, legend, inspector);
  const timeline = h("div", { class: "lv-timeline" });
  const controls = h("div", { class: "lv-controls" });
  const images = h("div", { class: "lv-images" });
  const calibration = h("div", { class: "lv-calibration" });
  root.append(
    h("div", { class: "lv-frame" }, canvas, timeline, controls), h("p", { class: "lv-thinned" }, scene.thinned),
    images, calibration, live, said,
  );

  const stage = new Stage(canvas, app);
  mountViews(views, app, stage);
  mountTimeline(timeline, app, live);
  mountControls(controls, app, stage);
  mountInspector(inspector, app);
  const { show: showLegend } = mountLegend(legend, app);
  mountNotes(notes, app, showLegend);
  startPlayer(app);
  mountImages(images, app);
  mountCalibration(calibration, app);
  return {
    app, state,
    cameraPosition: () => stage.position,
    cameraTarget: () => stage.target,
    screenOf: (frame, point) => stage.screenOf(frame, point),
    frusta: () => stage.markers.frusta,
    pixelOf: (at) => stage.project(at),
    drawWith: (drawing) => stage.drawWith(drawing),
    framesPerSecond: (seconds) => stage.framesPerSecond(seconds),
  };
}

/** What is wrong with the frames that are shown, on the canvas, where their points would be. */
function mountNotes(element: HTMLElement, app: App, decoded: () => void): void {
  const { scene, state, points } = app;
  const show = () => {
    const row = state.get().frame;
    const frame = scene.frames[row];
    const notes: string[] = [];
    if (frame.error) notes.push(`Bad frame: ${frame.error}`);
    else if (!frame.points) notes.push("This frame has no points.");
    else if (points.problems.has(row)) notes.push(`The points of this frame ${points.problems.get(row)}.`);
    else if (!frame.points.shown) notes.push("No point of this frame is in the page.");
    if (!scene.has_poses) notes.push("The recording has no poses: every frame is drawn about its own device.");
    else if (!frame.world_from_ego && !frame.error) notes.push("This frame has no pose: it is drawn at the origin.");
    element.replaceChildren(...notes.map((note) => h("p", { class: frame.error === null ? "lv-say" : "lv-say lv-bad" }, note)));
  };
  const load = () => {
    void Promise.all(shownFrames(scene, state.get()).map((row) => points.load(row))).then(() => {
      show();
      decoded();
    });
  };
  state.subscribe((_, changed) => {
    if (!changed.has("frame") && !changed.has("aggregate")) return;
    show();
    load();
  });
  show();
  load();
}
