// Names of cuboids and cameras, and the ring about the selected point: HTML over the canvas.

import { css } from "./colour";
import { h } from "./dom";
import type { Label } from "./markers";
import type { Stage } from "./stage";
import type { App } from "./state";

/** So many labels at most: those nearest to the eye. */
const MOST = 150;

export class LabelLayer {
  readonly element = h("div", { class: "lv-labels" });
  private readonly ring = h("div", { class: "lv-ring", hidden: true });
  private shown: Label[] | null = null;
  private tags: { label: Label; tag: HTMLElement; width: number }[] = [];

  constructor(private readonly app: App) {
    this.element.append(this.ring);
  }

  /** Put all where they belong in the view as it is drawn now. */
  place(stage: Stage): void {
    const { layers, selected, camera } = this.app.state.get();
    const labels = layers.has("labels") ? stage.markers.labels : [];
    if (labels !== this.shown) this.make(labels);
    const at = selected && stage.screenOf(selected.frame, selected.point);
    this.ring.hidden = !at;
    if (at) this.ring.style.transform = `translate(${at[0]}px, ${at[1]}px)`;

    const placed: { x: number; y: number; width: number }[] = [];
    const eye = stage.position;
    const distance = ({ at: [x, y, z] }: Label) => Math.hypot(x - eye[0], y - eye[1], z - eye[2]);
    // The chosen camera first, then the nearest: of two that would overlap, the first one is shown.
    const rank = ({ label }: { label: Label }) => (label.camera !== null && label.camera === camera ? -1 : distance(label));
    this.tags.sort((a, b) => rank(a) - rank(b));
    this.tags.forEach(({ label, tag, width }, i) => {
      const pixel = i < MOST ? stage.project(label.at) : null;
      const free = pixel && placed.every(({ x, y, width: other }) => Math.abs(y - pixel[1]) > 18 || Math.abs(x - pixel[0]) > (width + other) / 2);
      const chosen = label.camera !== null && label.camera === camera;
      tag.classList.toggle("lv-chosen", chosen);
      // A tag that has the focus stays reachable.
      const visible = pixel && (free || tag === document.activeElement);
      tag.style.visibility = visible ? "visible" : "hidden";
      if (!visible) return;
      placed.push({ x: pixel[0], y: pixel[1], width });
      tag.style.transform = `translate(${Math.round(pixel[0])}px, ${Math.round(pixel[1])}px) translate(-50%, -130%)`;
    });
  }

  private make(labels: Label[]): void {
    const focused = this.tags.find(({ tag }) => tag === document.activeElement)?.label.camera ?? null;
    this.shown = labels;
    this.tags = labels.map((label) => {
      const choose = () => this.app.state.set({ camera: label.camera });
      const tag = label.camera === null
        ? h("span", { class: "lv-tag" }, label.text)
        : h("button", { class: "lv-tag", type: "button", title: `Choose camera ${label.text}`, onclick: choose }, label.text);
      tag.style.setProperty("--lv-tag", css(label.colour));
      return { label, tag, width: 7 * label.text.length + 12 };
    });
    this.element.replaceChildren(this.ring, ...this.tags.map(({ tag }) => tag));
    if (focused !== null) this.tags.find(({ label }) => label.camera === focused)?.tag.focus();
  }
}
