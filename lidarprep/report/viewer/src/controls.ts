// The controls below and on the canvas: views, time, colours, fates, layers; and their keys.

import { colourProblem, fateColour } from "./colour";
import { figure, h } from "./dom";
import { clock } from "./inspector";
import { swatch } from "./legend";
import type { Stage } from "./stage";
import { type App, type ColourMode, type Layer, MOST_FRAMES, shownFrames, type State, type View } from "./state";

const SPEEDS = [1, 2, 5, 10, 20];
const COLOURS: [ColourMode, string][] = [
  ["height", "Height"], ["frame", "Frame"], ["intensity", "Intensity"], ["device", "Device"], ["time", "Time"], ["fate", "Fate"],
];
const VIEWS: [View, string, string, string][] = [
  ["orbit", "Orbit", "o", "From behind the device"], ["top", "Top", "t", "From above"],
  ["side", "Side", "s", "From the device's right"], ["driver", "Driver", "d", "From the device, looking ahead"],
];
const LAYERS: [Layer, string, string, string][] = [
  ["grid", "Grid", "q", "squares of 10 m on the ground"], ["region", "Region", "g", "outline of the region of interest"],
  ["band", "Band", "b", "planes of the height band"], ["path", "Path", "p", "path of the device"],
  ["axes", "Axes", "z", "axes of the device: x red, y green, z blue"], ["cameras", "Cameras", "f", "camera frusta"],
  ["radar", "Radar", "r", "radar points"], ["cuboids", "Cuboids", "x", "labels and pre-labels (dashed)"],
  ["labels", "Names", "l", "names of cuboids and cameras"],
];

/** A button that stays pressed. */
function toggle(text: Node | string, title: string, problem: string | null, run: () => void): HTMLButtonElement {
  const name = typeof text === "string" ? [text] : [text];
  return h("button", { type: "button", class: "lv-button", "aria-pressed": "false", title: problem ?? title, disabled: problem !== null, onclick: run }, ...name);
}

function group(label: string, ...children: (Node | string)[]): HTMLElement {
  return h("div", { class: "lv-set", role: "group", "aria-label": label }, h("span", { class: "lv-set-name" }, label), ...children);
}

/** A set with a member more or less. */
function flipped<T>(set: ReadonlySet<T>, member: T): ReadonlySet<T> {
  const out = new Set(set);
  if (!out.delete(member)) out.add(member);
  return out;
}

/** Views and help, on the canvas. */
export function mountViews(element: HTMLElement, app: App, stage: Stage): void {
  const { state, keys } = app;
  const choose = (view: View) => {
    state.set({ view });
    stage.look(view);
  };
  const buttons = VIEWS.map(([view, label, key, title]) => {
    keys.add({ key, label: title, group: "View", run: () => choose(view) });
    return toggle(label, keys.title(title, key), null, () => choose(view));
  });
  const follow = toggle("Follow", keys.title("Move with the device from frame to frame", "m"), app.scene.has_poses ? null : "The recording has no poses of its device.", () => state.set({ follow: !state.get().follow }));
  keys.add({ key: "m", label: "Move with the device, or not", group: "View", run: () => state.set({ follow: !state.get().follow }) });
  const help = h("button", { type: "button", class: "lv-button lv-round", title: keys.title("All keys", "?"), "aria-label": "All keys", onclick: () => keys.toggleHelp() }, "?");
  element.append(h("div", { class: "lv-segments", role: "group", "aria-label": "View" }, ...buttons), follow, help);
  addViewKeys(app, stage);
  const show = () => {
    VIEWS.forEach(([view], i) => buttons[i].setAttribute("aria-pressed", String(state.get().view === view)));
    follow.setAttribute("aria-pressed", String(state.get().follow));
  };
  state.subscribe((_, changed) => (changed.has("view") || changed.has("follow")) && show());
  show();
}

function addViewKeys(app: App, stage: Stage): void {
  const only = stage.view;
  const add = (key: string, label: string, run: () => void) => app.keys.add({ key, label, group: "With the focus on the points", only, run });
  for (const [key, x, y] of [["ArrowLeft", -1, 0], ["ArrowRight", 1, 0], ["ArrowUp", 0, 1], ["ArrowDown", 0, -1]] as [string, number, number][]) {
    add(key, "Turn", () => stage.turn(-0.08 * x, 0.08 * y));
  }
  for (const [key, x, y] of [["ArrowLeft", -1, 0], ["ArrowRight", 1, 0], ["ArrowUp", 0, 1], ["ArrowDown", 0, -1]] as [string, number, number][]) {
    add(`Shift+${key}`, "Move", () => stage.pan(0.05 * x, 0.05 * y));
  }
  add("Enter", "Choose the point in the middle", () => stage.choose(only.clientWidth / 2, only.clientHeight / 2, Infinity));
  app.keys.add(
    { key: "+", label: "Zoom in, out", group: "View", run: () => stage.zoom(0.85) },
    { key: "-", label: "Zoom in, out", group: "View", run: () => stage.zoom(1 / 0.85) },
  );
}

/** Previous, play, next, the slider, and what is known of the frame. */
export function mountTimeline(element: HTMLElement, app: App, live: HTMLElement): void {
  const { scene, state, keys } = app;
  const last = scene.frames.length - 1;
  const single = last < 1 ? "The page has one frame only." : null;
  const go = (frame: number) => state.set({ playing: false, frame: Math.min(last, Math.max(0, frame)) });
  const step = (by: number) => go(state.get().frame + by);
  const play = () => !single && state.set({ playing: !state.get().playing });
  const speedUp = (by: number) => state.set({ speed: SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, SPEEDS.indexOf(state.get().speed) + by))] });

  const button = (text: string, label: string, key: string, run: () => void) =>
    h("button", { type: "button", class: "lv-button lv-round", "aria-label": label, title: single ?? keys.title(label, key), disabled: single !== null, onclick: run }, text);
  const previous = button("◂", "Previous frame", ",", () => step(-1));
  const playing = button("▶", "Play", " ", play);
  const next = button("▸", "Next frame", ".", () => step(1));
  const slider = h("input", { type: "range", class: "lv-track", min: 0, max: last, step: 1, value: 0, "aria-label": "Frame", title: single ?? "Frame", disabled: single !== null, oninput: () => go(Number(slider.value)) });
  const speed = h("select", { class: "lv-select", "aria-label": "Speed, frames a second", title: single ?? keys.title("Speed", "< and >"), disabled: single !== null, onchange: () => state.set({ speed: Number(speed.value) }) },
    ...SPEEDS.map((value) => h("option", { value }, `${value} a second`)));
  const caption = h("div", { class: "lv-caption" });
  element.append(h("div", { class: "lv-transport" }, previous, playing, next), h("div", { class: "lv-rail" }, slider, frameMarks(app)), speed, caption);
  keys.add(
    { key: " ", label: "Play, pause", group: "Frames", run: play },
    { key: ",", label: "Previous, next frame", group: "Frames", run: () => step(-1) },
    { key: ".", label: "Previous, next frame", group: "Frames", run: () => step(1) },
    { key: "Home", label: "First, last frame", group: "Frames", run: () => go(0) },
    { key: "End", label: "First, last frame", group: "Frames", run: () => go(last) },
    { key: "<", label: "Slower, faster", group: "Frames", run: () => speedUp(-1) },
    { key: ">", label: "Slower, faster", group: "Frames", run: () => speedUp(1) },
  );

  const show = () => {
    const now = state.get();
    const text = describeFrame(app, now);
    slider.value = String(now.frame);
    slider.setAttribute("aria-valuetext", text[0]);
    slider.style.setProperty("--lv-share", String(last ? now.frame / last : 0));
    playing.textContent = now.playing ? "❚❚" : "▶";
    playing.setAttribute("aria-label", now.playing ? "Pause" : "Play");
    speed.value = String(now.speed);
    const frame = scene.frames[now.frame];
    caption.replaceChildren(h("strong", {}, text[0]), ...text.slice(1).map((part) => h("span", {}, part)));
    if (frame.labelled) caption.append(h("span", { class: "lv-badge" }, "labelled"));
    if (frame.error) caption.append(h("span", { class: "lv-badge lv-bad" }, "bad frame"));
    // While frames play, nobody wants each of them read out.
    if (!now.playing) live.textContent = text.join(", ") + (frame.error ? `, bad frame: ${frame.error}` : "");
  };
  state.subscribe((_, changed) => ["frame", "aggregate", "playing", "speed"].some((key) => changed.has(key as keyof State)) && show());
  show();
}

/** A strip below the slider: which frames are labelled, and which are bad. */
function frameMarks({ scene: { frames } }: App): HTMLElement {
  const marks = h("div", { class: "lv-marks", "aria-hidden": "true" });
  frames.forEach((frame, row) => {
    if (!frame.error && !(frame.labelled && frames.length <= 400)) return;
    const mark = h("span", { class: frame.error ? "lv-mark lv-bad" : "lv-mark" });
    mark.style.left = `${frames.length > 1 ? (100 * row) / (frames.length - 1) : 0}%`;
    marks.append(mark);
  });
  return marks;
}

function describeFrame(app: App, state: Readonly<State>): string[] {
  const { frames } = app.scene;
  const frame = frames[state.frame];
  const out = [`${state.frame + 1} of ${frames.length}`, `frame ${frame.id}`];
  if (frame.timestamp) out.push(clock(BigInt(frame.timestamp)));
  if (frame.points) {
    const { shown, total } = frame.points;
    out.push(shown === total ? `${figure(total, 0)} points` : `${figure(shown, 0)} of ${figure(total, 0)} points`);
  }
  const rows = shownFrames(app.scene, state);
  if (rows.length > 1) out.push(`frames ${frames[rows[0]].id} to ${frames[rows[rows.length - 1]].id} together`);
  return out;
}

/** Colour, frames together, point size, fates and layers. */
export function mountControls(element: HTMLElement, app: App, stage: Stage): void {
  const { scene, state, keys } = app;
  const count = scene.frames.length;

  const colour = h("select", { class: "lv-select", "aria-label": "Colour of the points", title: keys.title("Colour of the points", "c"), onchange: () => state.set({ colour: colour.value as ColourMode }) },
    ...COLOURS.map(([mode, label]) => {
      const problem = colourProblem(scene, mode);
      return h("option", { value: mode, disabled: problem !== null, title: problem }, problem ? `${label}: none` : label);
    }));
  const usable = COLOURS.map(([mode]) => mode).filter((mode) => !colourProblem(scene, mode));
  keys.add({ key: "c", label: "Next colour", group: "Points", run: () => state.set({ colour: usable[(usable.indexOf(state.get().colour) + 1) % usable.length] }) });

  const most = Math.min(MOST_FRAMES, count);
  const single = count < 2 ? "The page has one frame only." : null;
  let wanted = Math.min(10, most);
  const setTogether = (value: number) => {
    if (single) return;
    if (value > 1) wanted = Math.min(most, value);
    state.set({ aggregate: value > 1 ? wanted : 1 });
  };
  const flip = () => setTogether(state.get().aggregate > 1 ? 1 : wanted);
  const together = toggle("Aggregate", keys.title("Show several frames together", "a"), single, flip);
  const number = h("input", { type: "range", min: 2, max: Math.max(2, most), value: wanted, class: "lv-track lv-short", "aria-label": "Frames together", title: single ?? keys.title("Frames together", "N and Shift N"), disabled: single !== null, oninput: () => setTogether(Number(number.value)) });
  const numberText = h("output", { class: "lv-figure" });
  keys.add(
    { key: "a", label: "Several frames together", group: "Frames", run: flip },
    { key: "Shift+n", label: "Fewer, more of them", group: "Frames", run: () => setTogether(Math.max(2, wanted - 1)) },
    { key: "n", label: "Fewer, more of them", group: "Frames", run: () => setTogether(wanted + 1) },
  );

  const setSize = (value: number) => state.set({ pointSize: Math.min(8, Math.max(1, value)) });
  const size = h("input", { type: "range", min: 1, max: 8, step: 1, class: "lv-track lv-short", "aria-label": "Size of the points, pixels", title: keys.title("Size of the points", "J and K"), oninput: () => setSize(Number(size.value)) });
  const sizeText = h("output", { class: "lv-figure" });
  keys.add(
    { key: "j", label: "Smaller, bigger points", group: "Points", run: () => setSize(state.get().pointSize - 1) },
    { key: "k", label: "Smaller, bigger points", group: "Points", run: () => setSize(state.get().pointSize + 1) },
  );

  const has = scene.frames.some((frame) => frame.points?.columns.includes("fate"));
  // Points that are not finite are counted only: they have no place.
  const fates = scene.fates.slice(0, 5).map((name, fate) => {
    const problem = has || fate === 0 ? null : "No points were dropped: all are kept.";
    const run = () => problem === null && state.set({ fates: flipped(state.get().fates, fate) });
    const key = `Shift+${fate + 1}`;
    keys.add({ key, label: `Points: ${name}`, group: "Points", run });
    const button = toggle(h("span", {}, swatch(fateColour(fate)), name), keys.title(`Show points: ${name}`, key), problem, run);
    return { fate, button };
  });
  const layers = LAYERS.map(([layer, label, key, title]) => {
    const problem = stage.markers.problem(layer);
    const run = () => problem === null && state.set({ layers: flipped(state.get().layers, layer) });
    keys.add({ key, label: `${label}: ${title}`, group: "Shown", run });
    return { layer, button: toggle(label, keys.title(`${label}: ${title}`, key), problem, run) };
  });
  keys.add(
    { key: "v", label: "Choose the next camera", group: "Shown", run: () => scene.cameras.length && state.set({ camera: ((state.get().camera ?? -1) + 1) % scene.cameras.length }) },
    { key: "Escape", label: "Clear the selection", group: "Points", run: () => state.set({ selected: null }) },
    { key: "?", label: "Open and close this list", group: "View", run: () => keys.toggleHelp() },
  );

  element.append(
    group("Colour", colour),
    group("Together", together, number, numberText),
    group("Size", size, sizeText),
    group("Points", ...fates.map(({ button }) => button)),
    group("Shown", ...layers.map(({ button }) => button)),
  );
  const show = () => {
    const now = state.get();
    colour.value = now.colour;
    together.setAttribute("aria-pressed", String(now.aggregate > 1));
    number.value = String(now.aggregate > 1 ? now.aggregate : wanted);
    numberText.textContent = now.aggregate > 1 ? `${now.aggregate} frames` : "1 frame";
    size.value = String(now.pointSize);
    sizeText.textContent = `${now.pointSize} px`;
    for (const { fate, button } of fates) button.setAttribute("aria-pressed", String(now.fates.has(fate)));
    for (const { layer, button } of layers) button.setAttribute("aria-pressed", String(now.layers.has(layer) && !button.disabled));
  };
  state.subscribe(show);
  show();
}
