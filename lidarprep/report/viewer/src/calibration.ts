// Calibration by hand: sliders move the points of several frames over a camera's images; what is found is copied.

import { type Parameter, type Values, correctionOf, describe, parametersOf, plain, restOf } from "./calibration_values";
import type { Matrix } from "./data";
import { h } from "./dom";
import { button, choice, toggle } from "./fields";
import { IDENTITY } from "./geometry";
import { ImageFigure } from "./image_figure";
import { overlayControls } from "./images";
import { type CalibratedCamera, type CalibratedImage, calibrationFile, command, isChanged, layoutTexts } from "./layout_json";
import { type OverlayOptions, correctedIntrinsics } from "./overlay";
import type { App } from "./state";

const MOST_FRAMES = 6;

export function mountCalibration(element: HTMLElement, app: App): void {
  element.append(h("h3", { class: "lv-heading" }, "Calibration by hand"));
  const names = calibratable(app);
  if (!names.size) {
    element.append(h("p", { class: "lv-note" }, "No image has a pose, so there is no calibration that could be changed."));
    return;
  }
  new Panel(element, app, names);
}

/** The cameras with an image that has a pose: names by row. */
function calibratable(app: App): Map<number, string> {
  const found = new Map<number, string>();
  app.scene.cameras.forEach((camera, row) => {
    if (imagesOf(app, row).length) found.set(row, camera.name);
  });
  return found;
}

/** Frame and image rows of a camera's images with a pose; those that the page holds, if it holds any. */
function imagesOf(app: App, camera: number): { frame: number; row: number }[] {
  const posed = app.scene.frames.flatMap((frame, index) =>
    frame.images.flatMap((image, row) => (image.camera === camera && image.world_from_camera ? [{ frame: index, row }] : [])),
  );
  const shown = posed.filter(({ frame, row }) => {
    const image = app.scene.frames[frame].images[row];
    return image.shown && !image.problem;
  });
  return shown.length ? shown : posed;
}

/** All cameras of the page as they are now calibrated, poses in the recording's world. */
export function calibratedCameras(app: App): CalibratedCamera[] {
  const { scene, state } = app;
  return scene.cameras.map((camera, row) => {
    const correction = state.get().corrections.get(row);
    const images: CalibratedImage[] = scene.frames.flatMap((frame) =>
      frame.images
        .filter((image) => image.camera === row && image.world_from_camera)
        .map((image) => ({ index: frame.index, frame: frame.id, worldFromCamera: inRecording(image.world_from_camera!, scene.offset) })),
    );
    return {
      name: camera.name,
      given: camera,
      intrinsics: correction ? correctedIntrinsics(camera, correction) : camera,
      egoFromCamera: camera.ego_from_camera,
      correction: correction?.delta ?? IDENTITY,
      images,
    };
  });
}

function inRecording(m: Matrix, offset: readonly number[]): Matrix {
  return m.map((value, index) => (index % 4 === 3 ? value + offset[(index - 3) / 4] : value));
}

/** A row of the panel: a slider and a number for one parameter. */
class Slider {
  readonly element: HTMLElement;
  private readonly range: HTMLInputElement;
  private readonly number: HTMLInputElement;
  private readonly back: HTMLButtonElement;

  constructor(readonly parameter: Parameter, changed: (value: number) => void) {
    const { key, label, unit, title, rest, reach, step } = parameter;
    const steps = Math.round(reach / step);
    const name = unit ? `${label}, ${unit === "°" ? "degrees" : unit === "m" ? "metres" : "pixels"}: ${title}` : `${label}: ${title}`;
    // The rest is one of the slider's places, since they are counted from its lower end.
    this.range = h("input", { class: "lv-range", 
      type: "range", min: String(rest - steps * step), max: String(rest + steps * step), step: String(step),
      "aria-label": name, title, "data-key": key,
    });
    this.number = h("input", { class: "lv-number", type: "number", step: String(step), "aria-label": `${name}, as a number`, "data-key": key });
    this.back = button("↺", `Reset ${label}`, () => changed(rest), "lv-reset");
    this.back.setAttribute("aria-label", `Reset ${label}`);
    this.range.addEventListener("input", () => {
      const value = Number(this.range.value);
      changed(Math.abs(value - rest) < step / 2 ? rest : Number(value.toPrecision(12)));
    });
    this.number.addEventListener("input", () => {
      const value = this.number.valueAsNumber;
      const positive = key === "fx" || key === "fy";
      const sound = Number.isFinite(value) && !(positive && value <= 0);
      this.number.setAttribute("aria-invalid", String(!sound));
      if (sound) changed(value);
    });
    this.element = h(
      "div", { class: "lv-slider" }, h("span", { class: "lv-slider-label", title }, label), this.range,
      h("span", { class: "lv-number-unit" }, this.number, h("span", { class: "lv-unit" }, unit)), this.back,
    );
  }

  show(value: number): void {
    this.range.value = String(value);
    if (this.number.valueAsNumber !== value) {
      this.number.value = plain(value, this.parameter.group === "Lens" ? 3 : 6);
      this.number.setAttribute("aria-invalid", "false");
    }
    const moved = value !== this.parameter.rest;
    this.back.disabled = !moved;
    this.element.classList.toggle("lv-moved", moved);
  }
}

class Panel {
  private camera: number;
  private readonly values = new Map<number, Values>();
  private parameters: Parameter[] = [];
  private sliders: Slider[] = [];
  private linked = true;
  private asRecorded = false;
  private count = 4;
  private readonly options: OverlayOptions = { points: true, colour: "depth", size: 0, edges: true, dim: false, cuboids: false };
  private readonly figures: ImageFigure[] = [];
  private readonly strip = h("div", { class: "lv-strip" });
  private readonly list = h("div", { class: "lv-sliders" });
  private readonly words = h("p", { class: "lv-words", "aria-live": "polite" });
  private readonly texts = h("div", { class: "lv-texts" });
  private readonly chooser: HTMLSelectElement;
  private readonly recorded: HTMLInputElement;
  private textsPending = false;

  constructor(element: HTMLElement, private readonly app: App, names: Map<number, string>) {
    const chosen = app.state.get().camera;
    this.camera = chosen !== null && names.has(chosen) ? chosen : [...names.keys()][0];
    const cameras = choice("Camera", {}, "", (row) => app.state.set({ camera: Number(row) }));
    this.chooser = cameras.querySelector("select")!;
    for (const [row, name] of names) this.chooser.append(h("option", { value: String(row) }, name));
    const counts = Object.fromEntries(Array.from({ length: MOST_FRAMES }, (_, i) => [i + 1, String(i + 1)]));
    const frames = choice("Frames", counts, String(this.count), (count) => {
      this.count = Number(count);
      this.showImages();
    });
    const link = toggle("fx and fy together", this.linked, (linked) => (this.linked = linked));
    const recorded = toggle("As recorded", false, (on) => {
      this.asRecorded = on;
      this.publish();
    });
    recorded.title = "Compare with the calibration of the recording";
    this.recorded = recorded.querySelector("input")!;
    const bar = h("div", { class: "lv-bar" }, cameras, frames, overlayControls(app, this.options, () => this.redraw()));
    const hint = h(
      "p", { class: "lv-note" },
      "Turn first, by far things: the edges of poles, walls and signs. Then move, by near ones: cars and kerbs. One setting " +
        "has to fit all frames. A focused slider moves by the arrow keys; the number takes finer steps.",
    );
    const side = h(
      "div", { class: "lv-panel", role: "group", "aria-label": "Calibration of the camera" },
      this.list, h("div", { class: "lv-bar" }, link, recorded, button("Reset camera", "All values of this camera as recorded", () => this.reset())),
      this.words, this.texts,
    );
    element.append(hint, bar, h("div", { class: "lv-calibrate" }, this.strip, side));
    app.state.subscribe((state, changed) => {
      if (changed.has("camera") && state.camera !== null && state.camera !== this.camera && names.has(state.camera)) {
        this.choose(state.camera);
      } else if (["colour", "fates", "selected"].some((name) => changed.has(name as keyof typeof state))) {
        this.redraw();
      } else if (changed.has("corrections")) {
        for (const figure of this.figures) figure.redrawIfCorrected();
      }
      if (changed.has("corrections")) this.later();
    });
    this.choose(this.camera);
  }

  private choose(camera: number): void {
    this.camera = camera;
    this.chooser.value = String(camera);
    this.setAsRecorded(false);
    const given = this.app.scene.cameras[camera];
    this.parameters = parametersOf(given);
    if (!this.values.has(camera)) this.values.set(camera, restOf(this.parameters));
    this.sliders = this.parameters.map((parameter) => new Slider(parameter, (value) => this.change(parameter.key, value)));
    this.list.replaceChildren();
    for (const group of ["Rotation", "Position", "Lens", "Distortion"] as const) {
      const rows = this.sliders.filter(({ parameter }) => parameter.group === group).map(({ element }) => element);
      if (group !== "Distortion") {
        this.list.append(h("fieldset", { class: "lv-group" }, h("legend", {}, group), ...rows));
      } else if (rows.length) {
        const open = Object.values(given.distortion).some((value) => value !== 0);
        this.list.append(h("details", { class: "lv-group", open }, h("summary", {}, `Distortion (${given.model.replace("_", "–")})`), ...rows));
      }
    }
    this.publish();
    this.showImages();
  }

  private change(key: string, value: number): void {
    const values = { ...this.values.get(this.camera)!, [key]: value };
    const given = this.app.scene.cameras[this.camera];
    if (this.linked && key === "fx") values.fy = value === given.fx ? given.fy : (given.fy * value) / given.fx;
    if (this.linked && key === "fy") values.fx = value === given.fy ? given.fx : (given.fx * value) / given.fy;
    this.values.set(this.camera, values);
    this.setAsRecorded(false);
    this.publish();
  }

  private reset(): void {
    this.values.set(this.camera, restOf(this.parameters));
    this.setAsRecorded(false);
    this.publish();
    this.app.announce("All values are as recorded.");
  }

  private setAsRecorded(on: boolean): void {
    this.asRecorded = on;
    this.recorded.checked = on;
  }

  /** Show the values, and give their correction to all that draws the camera. */
  private publish(): void {
    const values = this.values.get(this.camera)!;
    for (const slider of this.sliders) slider.show(values[slider.parameter.key]);
    this.words.textContent = describe(this.parameters, values);
    const corrections = new Map(this.app.state.get().corrections);
    const correction = this.asRecorded ? null : correctionOf(this.app.scene.cameras[this.camera], values);
    if (correction) corrections.set(this.camera, correction);
    else if (!corrections.delete(this.camera)) return this.later();
    this.app.state.set({ corrections });
  }

  private showImages(): void {
    const images = imagesOf(this.app, this.camera);
    const count = Math.min(this.count, images.length);
    const spread = Array.from({ length: count }, (_, i) => images[Math.round((i * (images.length - 1)) / Math.max(1, count - 1))]);
    while (this.figures.length < count) {
      const figure = new ImageFigure(this.app, this.options);
      this.figures.push(figure);
      this.strip.append(figure.element);
    }
    this.strip.dataset.count = String(count);
    this.figures.forEach((figure, index) => {
      figure.element.hidden = index >= count;
      if (index < count) {
        const { frame, row } = spread[index];
        void figure.show(frame, row, [frame], `Frame ${this.app.scene.frames[frame].id}`);
      }
    });
  }

  private redraw(): void {
    for (const figure of this.figures) if (!figure.element.hidden) figure.redraw();
  }

  /** Write the texts to copy once the sliders are at rest for a moment. */
  private later(): void {
    if (this.textsPending) return;
    this.textsPending = true;
    setTimeout(() => {
      this.textsPending = false;
      this.showTexts();
    }, 120);
  }

  private showTexts(): void {
    const { scene } = this.app;
    const cameras = calibratedCameras(this.app);
    if (!cameras.some(isChanged)) {
      this.texts.replaceChildren(h("p", { class: "lv-note" }, "Nothing is changed yet: there is nothing to copy."));
      return;
    }
    const file = calibrationFile(cameras);
    const blocks = [
      this.textBlock("calibration.json", file, "All changed cameras, as --calibration takes them.", button("Save", "Save calibration.json", () => save(file))),
      this.textBlock("Command", `${command(scene.source)}\n`, "Judges the new calibration; prepare and report take the option, too."),
    ];
    const texts = layoutTexts(scene.layout, cameras, scene.path.length || scene.frames.length);
    for (const { place, text, note } of texts) {
      blocks.push(text ? this.textBlock(place, text, note) : h("p", { class: "lv-note" }, place ? `${place}: ${note}` : note));
    }
    this.texts.replaceChildren(...blocks);
  }

  private textBlock(title: string, text: string, note: string, ...more: HTMLElement[]): HTMLElement {
    const lines = Math.min(12, text.trimEnd().split("\n").length);
    const area = h("textarea", { class: "lv-text", readonly: "", rows: String(lines), spellcheck: "false", "aria-label": title });
    area.value = text;
    const copy = button("Copy", `Copy ${title}`, () => void this.copy(area, copy));
    return h("div", { class: "lv-text-block" }, h("div", { class: "lv-text-head" }, h("strong", {}, title), copy, ...more), h("p", { class: "lv-note" }, note), area);
  }

  /** Pages from the disk may not use the clipboard: there the text is selected, and copied the old way. */
  private async copy(area: HTMLTextAreaElement, pressed: HTMLButtonElement): Promise<void> {
    let done = false;
    try {
      await navigator.clipboard.writeText(area.value);
      done = true;
    } catch {
      area.focus();
      area.select();
      done = document.execCommand("copy");
    }
    pressed.textContent = done ? "Copied" : "Selected: Ctrl+C";
    this.app.announce(done ? "Copied." : "The text is selected: copy it with Control C.");
    setTimeout(() => (pressed.textContent = "Copy"), 1500);
  }
}

function save(text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  h("a", { href: url, download: "calibration.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
