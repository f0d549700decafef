// One image with the points over it: its title, its canvas, and what is to be said of it.

import type { ImageData as ImageEntry } from "./data";
import { figure, h } from "./dom";
import { type Base, type OverlayOptions, type Share, draw, loadBase, pointAt } from "./overlay";
import type { App, Correction } from "./state";

/** Decoded images that are kept, so that going back and forth is quick; at 1280 × 720 they are 3.7 MB each. */
const MOST_BASES = 24;
const bases = new Map<string, Promise<Base>>();

function base(frame: number, row: number, image: ImageEntry): Promise<Base> {
  const key = `${frame}-${row}`;
  const known = bases.get(key) ?? loadBase(frame, row, image);
  bases.delete(key);
  bases.set(key, known);
  for (const oldest of bases.keys()) {
    if (bases.size <= MOST_BASES) break;
    bases.delete(oldest);
  }
  return known;
}

/** How near a click has to be to a point, pixels of the screen. */
const CLICK_PX = 10;

export class ImageFigure {
  readonly element: HTMLElement;
  private readonly title = h("button", { class: "lv-image-title", type: "button" });
  private readonly canvas = h("canvas", { class: "lv-image-canvas", tabindex: "-1", role: "img" });
  private readonly reason = h("p", { class: "lv-image-reason" });
  private readonly caption = h("figcaption", { class: "lv-image-caption" });
  private entry: ImageEntry | null = null;
  private base: Base | null = null;
  private frames: readonly number[] = [];
  private correction: Correction | undefined;
  private wanted = 0;
  private pending = false;

  constructor(private readonly app: App, private readonly options: OverlayOptions) {
    const place = h("div", { class: "lv-image-place" }, this.canvas, this.reason);
    this.element = h("figure", { class: "lv-image" }, this.title, place, this.caption);
    this.title.addEventListener("click", () => this.enlarge(!this.enlarged));
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.enlarged) return;
      event.stopPropagation();
      this.enlarge(false);
    });
    this.canvas.addEventListener("click", (event) => this.click(event));
  }

  get enlarged(): boolean {
    return this.element.classList.contains("lv-large");
  }

  enlarge(large: boolean): void {
    this.element.classList.toggle("lv-large", large);
    this.title.setAttribute("aria-expanded", String(large));
    if (large) this.element.scrollIntoView({ block: "nearest" });
    this.redraw(); // points are drawn for the size at which the image is shown
  }

  get camera(): number | null {
    return this.entry?.camera ?? null;
  }

  /** Show an image with the points of some frames; resolves once all of it is drawn. */
  async show(frame: number, row: number, frames: readonly number[], label: string): Promise<void> {
    const image = this.app.scene.frames[frame].images[row];
    const mine = ++this.wanted;
    const [found] = await Promise.all([base(frame, row, image), ...frames.map((one) => this.app.points.load(one))]);
    if (mine !== this.wanted) return;
    this.entry = image;
    this.base = found;
    this.frames = frames;
    this.title.textContent = label;
    this.title.title = "Enlarge";
    this.title.setAttribute("aria-expanded", String(this.enlarged));
    this.reason.textContent = found.problem;
    this.reason.hidden = found.problem === null;
    this.canvas.setAttribute("aria-label", `Image of ${label}`);
    this.canvas.style.aspectRatio = `${found.width} / ${found.height}`;
    this.paint();
  }

  /** Draw again before the browser's next frame. */
  redraw(): void {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.paint();
    });
  }

  /** Draw again if its camera is calibrated otherwise than when it was drawn. */
  redrawIfCorrected(): void {
    if (this.element.hidden || !this.entry) return;
    if (this.app.state.get().corrections.get(this.entry.camera) !== this.correction) this.redraw();
  }

  private paint(): void {
    if (!this.entry || !this.base) return;
    this.correction = this.app.state.get().corrections.get(this.entry.camera);
    const share = draw(this.app, this.canvas, this.entry, this.base, this.frames, this.options);
    const said = this.says(share);
    if (this.caption.textContent !== said) this.caption.textContent = said;
  }

  private says({ inside, total }: Share): string {
    if (!this.entry!.world_from_camera) return "No pose is known of this image, so no point can be drawn over it.";
    if (!total) return "No points to draw over it.";
    return `${percent(inside / total)} of ${figure(total, 0)} points inside${this.delay()}`;
  }

  private delay(): string {
    const frame = this.app.scene.frames[this.app.state.get().frame];
    const [a, b] = [this.entry!.timestamp, frame.timestamp];
    if (a === null || b === null || !frame.images.includes(this.entry!)) return "";
    const milliseconds = Number(BigInt(a) - BigInt(b)) / 1e6;
    if (Math.abs(milliseconds) < 0.05) return "";
    return ` · ${Math.abs(milliseconds).toFixed(1)} ms ${milliseconds > 0 ? "after" : "before"} the frame`;
  }

  private click(event: MouseEvent): void {
    if (!this.entry || !this.base) return;
    const shown = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / shown.width;
    const [x, y] = [(event.clientX - shown.left) * scale, (event.clientY - shown.top) * scale];
    const selected = pointAt(this.app, this.entry, this.base, this.frames, x, y, CLICK_PX * scale);
    this.app.state.set({ selected, camera: this.entry.camera });
  }
}

function percent(share: number): string {
  if (share > 0 && share < 0.01) return "under 1 %";
  return `${Math.round(100 * share)} %`;
}
