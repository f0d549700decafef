// Fills <section id="viewer"> of the page.

import { mountCalibration } from "./calibration";
import { PointColours } from "./colour";
import { readScene } from "./data";
import { FramePoints } from "./decode";
import { Keys } from "./keys";
import * as exposed from "./exposed";
import { mountImages } from "./images";
import { type App, Store } from "./state";

const section = document.getElementById("viewer");
const scene = readScene(document);
if (section && scene) {
  const state = new Store({
    frame: 0, aggregate: 1, colour: "height", fates: new Set(scene.fates.keys()), pointSize: 2, selected: null,
    camera: null, corrections: new Map(), layers: {}, view: "free", follow: false, playing: false, speed: 1,
  } as never);
  const points = new FramePoints(scene, document);
  const app: App = { scene, points, state, colours: new PointColours(scene, points, state), announce: () => undefined, keys: new Keys(section) } as unknown as App;
  const images = document.createElement("div");
  const calibration = document.createElement("div");
  section.append(images, calibration);
  mountImages(images, app);
  mountCalibration(calibration, app);
  Object.assign(window, { lidarprep: { app, state, ...exposed } });
}
