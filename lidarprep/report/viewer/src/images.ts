// The images of the current frame in a strip, each with the points over it.

import { VIRIDIS } from "./colour";
import { h } from "./dom";
import { choice, toggle } from "./fields";
import { ImageFigure } from "./image_figure";
import { FARTHEST, NEAREST, type OverlayOptions } from "./overlay";
import { type App, shownFrames } from "./state";

export function mountImages(element: HTMLElement, app: App): void {
  const { scene, state } = app;
  const message = h("p", { class: "lv-note" });
  element.append(h("h3", { class: "lv-heading" }, "Images"));
  if (!scene.frames.some((frame) => frame.images.length)) {
    element.append(h("p", { class: "lv-note" }, "The recording has no images."));
    return;
  }
  const options: OverlayOptions = { points: true, colour: "depth", size: 0, edges: false, dim: false, cuboids: true };
  const strip = h("div", { class: "lv-strip" });
  const figures: ImageFigure[] = [];
  const redraw = () => figures.forEach((figure) => figure.redraw());
  element.append(overlayControls(app, options, redraw), message, strip);

  let shown = "";
  function show(): void {
    const current = state.get().frame;
    const frame = scene.frames[current];
    const frames = shownFrames(scene, state.get());
    const key = `${current} ${frames.join()}`;
    if (key === shown) return redraw();
    shown = key;
    message.textContent = frame.images.length ? "" : `Frame ${frame.id} has no images.`;
    message.hidden = frame.images.length > 0;
    while (figures.length < frame.images.length) {
      const figure = new ImageFigure(app, options);
      figures.push(figure);
      strip.append(figure.element);
    }
    figures.forEach((figure, row) => {
      figure.element.hidden = row >= frame.images.length;
      const image = frame.images[row];
      if (image) void figure.show(current, row, frames, scene.cameras[image.camera].name);
    });
  }
  state.subscribe((now, changed) => {
    if (changed.has("frame") || changed.has("aggregate")) show();
    else if (["colour", "fates", "selected"].some((name) => changed.has(name as keyof typeof now))) redraw();
    else if (changed.has("corrections")) figures.forEach((figure) => figure.redrawIfCorrected());
    if (changed.has("camera")) figures.forEach((figure) => figure.element.classList.toggle("lv-chosen", figure.camera === now.camera));
  });
  const enlarge = () => {
    const chosen = figures.find(({ camera }) => camera === state.get().camera) ?? figures[0];
    figures.forEach((figure) => figure.enlarge(figure === chosen));
  };
  app.keys.add({
    key: "e", label: "Enlarge the chosen camera's image, or close it", group: "Images",
    run: () => (figures.some(({ enlarged }) => enlarged) ? figures.forEach((figure) => figure.enlarge(false)) : enlarge()),
  });
  show();
}

/** What is set of the points over images, with the legend of depth. */
export function overlayControls(app: App, options: OverlayOptions, change: () => void): HTMLElement {
  const legend = h(
    "span", { class: "lv-depth", role: "img", "aria-label": `Depth: bright at ${NEAREST} metres, dark at ${FARTHEST} metres and beyond` },
    h("span", {}, `${NEAREST} m`), depthBar(), h("span", {}, `${FARTHEST} m`),
  );
  const set = (values: Partial<OverlayOptions>) => {
    Object.assign(options, values);
    legend.hidden = options.colour !== "depth" || !options.points;
    change();
  };
  const hasCuboids = app.scene.frames.some((frame) => frame.cuboids.length);
  return h(
    "div", { class: "lv-bar", role: "group", "aria-label": "Points over images" },
    toggle("Points", options.points, (points) => set({ points })),
    choice("Colour", { depth: "depth", view: "as in 3D" }, options.colour, (colour) => set({ colour: colour as OverlayOptions["colour"] })),
    choice("Size", { 0: "automatic", 1: "1 px", 2: "2 px", 3: "3 px", 4: "4 px" }, String(options.size), (size) => set({ size: Number(size) })),
    toggle("Edges only", options.edges, (edges) => set({ edges })),
    toggle("Darker image", options.dim, (dim) => set({ dim })),
    ...(hasCuboids ? [toggle("Cuboids", options.cuboids, (cuboids) => set({ cuboids }))] : []),
    legend,
  );
}

function depthBar(): HTMLElement {
  const stops = Array.from({ length: 9 }, (_, i) => {
    const at = 3 * (255 - Math.round((255 * i) / 8));
    return `rgb(${VIRIDIS[at]} ${VIRIDIS[at + 1]} ${VIRIDIS[at + 2]})`;
  });
  return h("span", { class: "lv-depth-bar", style: `background: linear-gradient(to right, ${stops.join(", ")})` });
}
