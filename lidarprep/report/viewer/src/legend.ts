// What the colours of the points mean: a bar with figures, or names with swatches.

import { css, fateColour, frameColour, kindColour, type Rgb, viridis } from "./colour";
import { figure, h } from "./dom";
import { type App, shownFrames } from "./state";

/** `from`: the share of the scale at which the bar begins. */
function bar(title: string, low: string, high: string, from = 0): Node[] {
  const scale = h("div", { class: "lv-scale", role: "img", "aria-label": `${title}: dark is ${low}, bright is ${high}` });
  const stops = Array.from({ length: 17 }, (_, i) => css(viridis(from + ((1 - from) * i) / 16)));
  scale.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  return [h("h3", {}, title), scale, h("div", { class: "lv-ends" }, h("span", {}, low), h("span", {}, high))];
}

function names(title: string, entries: [string, Rgb][]): Node[] {
  return [h("h3", {}, title), h("ul", {}, ...entries.map(([name, colour]) => h("li", {}, swatch(colour), name)))];
}

export function swatch(colour: Rgb): HTMLElement {
  const element = h("span", { class: "lv-swatch", "aria-hidden": "true" });
  element.style.background = css(colour);
  return element;
}

export function mountLegend(element: HTMLElement, app: App): { show(): void } {
  const { scene } = app;
  let last = "";
  const show = () => {
    const state = app.state.get();
    const rows = shownFrames(scene, state);
    const [low, high] = app.colours.heightRange;
    const key = `${state.colour} ${rows.join()} ${low} ${high}`;
    if (key === last) return;
    last = key;
    let content: Node[];
    if (state.colour === "height") {
      content = bar(`Height above the ${scene.band ? "ground" : "device"}`, `${figure(low, 1)} m`, `${figure(high, 1)} m`);
    } else if (state.colour === "intensity") {
      const scale = scene.intensity?.scale ?? 1;
      content = bar("Intensity", "0", figure(scale, scale > 2 ? 0 : 2));
    } else if (state.colour === "time") {
      const spans = rows.map((row) => scene.frames[row].points?.time?.span ?? 0);
      content = bar("Time within the frame", "0 ms", `${figure(Math.max(...spans) / 1e6, 0)} ms`);
    } else if (state.colour === "device") {
      content = names("Device", scene.devices.map(({ id, name }, i) => [name || String(id), kindColour(i)]));
    } else if (state.colour === "fate") {
      content = names("What becomes of the points", scene.fates.slice(0, 5).map((name, i) => [name, fateColour(i)]));
    } else if (rows.length <= 8) {
      content = names("Frame", rows.map((row, i) => [scene.frames[row].id, frameColour(i, rows.length)]));
    } else {
      const text = (row: number) => scene.frames[row].id;
      content = bar("Frame", text(rows[0]), text(rows[rows.length - 1]), 40 / 255);
    }
    element.replaceChildren(...content);
  };
  app.state.subscribe((_, changed) => {
    if (["colour", "frame", "aggregate"].some((name) => changed.has(name as "colour"))) show();
  });
  show();
  return { show };
}
