// The canvas: renderer, camera, orbit, the four views. Drawn on demand only.

import { ColorManagement, LinearSRGBColorSpace, PerspectiveCamera, Scene, Vector3, WebGLRenderer } from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { Cloud } from "./cloud";
import type { Vector } from "./data";
import { h } from "./dom";
import { apply, IDENTITY, rotate } from "./geometry";
import { LabelLayer } from "./labels";
import { Markers } from "./markers";
import { SoftwareRenderer } from "./software";
import type { App, View } from "./state";

export type Drawing = "webgl" | "software";

/** Colour of the canvas, in dark and light pages alike: points read best on it. */
const BACKGROUND = 0x101318;
/** A click chooses what is within so many pixels. */
const CLICK_RADIUS = 6;
/** Half of the points are drawn within twice this distance, metres, until the first frame tells. */
const USUAL_REACH = 40;

// Colours are bytes of sRGB from the tables to the screen.
ColorManagement.enabled = false;

/** What draws best here: a graphics processor by WebGL, or else our own loops, faster than a program's WebGL. */
function bestDrawing(): Drawing {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl) return "software";
  let name = String(gl.getParameter(gl.RENDERER));
  const info = name.startsWith("WebKit") ? gl.getExtension("WEBGL_debug_renderer_info") : null;
  if (info) name = String(gl.getParameter(info.UNMASKED_RENDERER_WEBGL));
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software|basic render/i.test(name) ? "software" : "webgl";
}

export class Stage {
  /** Holds the canvas and the focus: a canvas itself is replaced when the drawing changes. */
  readonly view = h("div", {
    class: "lv-view", tabindex: 0, role: "application",
    "aria-label": "Points in 3D. Arrow keys turn the view, Shift with arrow keys moves it, plus and minus zoom, Enter chooses the point in the middle, question mark lists all keys.",
  });
  readonly camera = new PerspectiveCamera(50, 1, 0.1, 5000);
  readonly cloud: Cloud;
  readonly markers: Markers;
  readonly labels: LabelLayer;
  private renderer!: WebGLRenderer | SoftwareRenderer;
  private readonly controls: OrbitControls;
  private readonly scene = new Scene();
  private asked = 0;
  private reach = USUAL_REACH;
  private reachIsKnown = false;
  private drawn = 0;
  private device: Vector;

  constructor(private readonly element: HTMLElement, private readonly app: App) {
    this.camera.up.set(0, 0, 1);
    this.controls = new OrbitControls(this.camera, this.view);
    this.controls.addEventListener("change", () => this.ask());
    this.controls.addEventListener("start", () => this.app.state.set({ view: "orbit" }));
    this.labels = new LabelLayer(app);
    this.cloud = new Cloud(app, () => this.pointsChanged());
    this.markers = new Markers(app, () => this.reach);
    this.scene.add(this.cloud.group, this.markers.group);
    this.device = this.deviceAt();
    element.prepend(this.view, this.labels.element);
    this.drawWith(bestDrawing());
    new ResizeObserver(() => this.resize()).observe(element);
    this.listenToClicks();
    this.markers.sync();
    this.look(app.state.get().view);
    this.cloud.sync();
    app.state.subscribe((state, changed) => {
      if (changed.has("frame")) this.followDevice();
      if (changed.has("view") && state.view !== "orbit") this.look(state.view);
      const points = ["frame", "aggregate", "colour", "fates", "pointSize"] as const;
      const marks = ["frame", "aggregate", "layers", "camera", "corrections"] as const;
      if (marks.some((key) => changed.has(key))) this.markers.sync();
      if (points.some((key) => changed.has(key))) this.cloud.sync();
      this.ask();
    });
  }

  /** Draw by WebGL or by our own loops from now on. */
  drawWith(drawing: Drawing): void {
    if (this.renderer instanceof WebGLRenderer) this.renderer.dispose();
    const canvas = h("canvas", { class: "lv-canvas" });
    this.view.replaceChildren(canvas);
    if (drawing === "software") {
      this.renderer = new SoftwareRenderer(canvas, BACKGROUND);
    } else {
      this.renderer = new WebGLRenderer({ canvas, antialias: true, powerPreference: "high-performance" });
      this.renderer.outputColorSpace = LinearSRGBColorSpace;
      this.renderer.setPixelRatio(Math.min(2, devicePixelRatio));
      this.renderer.setClearColor(BACKGROUND);
      canvas.addEventListener("webglcontextlost", () => this.view.contains(canvas) && this.drawWith("software"));
    }
    this.resize();
  }

  /** Draw once, soon. */
  ask(): void {
    if (!this.asked) this.asked = requestAnimationFrame(() => this.draw());
  }

  /** The pixel of the canvas where a decoded point is drawn, CSS pixels; null if it is behind the eye or not decoded. */
  screenOf(frame: number, point: number): [number, number] | null {
    const at = this.app.points.get(frame)?.position;
    return at ? this.project([at[3 * point], at[3 * point + 1], at[3 * point + 2]]) : null;
  }

  project(at: Vector): [number, number] | null {
    const v = new Vector3(...at).applyMatrix4(this.camera.matrixWorldInverse);
    if (v.z > -this.camera.near) return null;
    v.applyMatrix4(this.camera.projectionMatrix);
    return [((v.x + 1) / 2) * this.view.clientWidth, ((1 - v.y) / 2) * this.view.clientHeight];
  }

  get position(): Vector {
    return this.camera.position.toArray();
  }

  get target(): Vector {
    return this.controls.target.toArray();
  }

  /** Choose a view: from above, from the device's right side, from the device ahead, or from behind it. */
  look(view: View): void {
    const pose = this.app.scene.frames[this.app.state.get().frame].world_from_ego ?? IDENTITY;
    const [x, y, z] = apply(pose, [0, 0, 0]);
    const [ax, ay] = rotate(pose, [1, 0, 0]);
    const flat = Math.hypot(ax, ay) || 1;
    const [ux, uy] = [ax / flat, ay / flat];
    const far = (1.1 * this.reach) / Math.tan((this.camera.fov * Math.PI) / 360);
    const place = (ahead: number, right: number, up: number) => new Vector3(x + ahead * ux + right * uy, y + ahead * uy - right * ux, z + up);
    if (view === "driver") {
      this.camera.position.copy(place(0, 0, 0));
      this.controls.target.copy(new Vector3(...apply(pose, [10, 0, 0])));
    } else {
      this.controls.target.set(x, y, z);
      // Straight down, a view has no azimuth: a hair behind, ahead is up in it.
      if (view === "top") this.camera.position.copy(place(-1e-3 * far, 0, far));
      else if (view === "side") this.camera.position.copy(place(0, 0.8 * far, 0.02 * far));
      else this.camera.position.copy(place(-0.62 * far, 0.3 * far, 0.42 * far));
    }
    this.controls.update();
    this.ask();
  }

  /** Turn about the target, radians. */
  turn(left: number, up: number): void {
    const offset = this.camera.position.clone().sub(this.controls.target);
    const distance = offset.length();
    const azimuth = Math.atan2(offset.y, offset.x) + left;
    const height = Math.min(1.57, Math.max(-1.57, Math.asin(offset.z / distance) + up));
    const flat = Math.cos(height) * distance;
    this.camera.position.copy(this.controls.target).add(new Vector3(flat * Math.cos(azimuth), flat * Math.sin(azimuth), Math.sin(height) * distance));
    this.moved();
  }

  /** Move eye and target along the screen, in shares of their distance. */
  pan(right: number, up: number): void {
    const distance = this.camera.position.distanceTo(this.controls.target);
    const e = this.camera.matrixWorld.elements;
    const by = new Vector3(e[0], e[1], e[2]).multiplyScalar(right * distance).add(new Vector3(e[4], e[5], e[6]).multiplyScalar(up * distance));
    this.camera.position.add(by);
    this.controls.target.add(by);
    this.moved();
  }

  zoom(factor: number): void {
    this.camera.position.sub(this.controls.target).multiplyScalar(factor).add(this.controls.target);
    this.moved();
  }

  private moved(): void {
    this.controls.update();
    this.app.state.set({ view: "orbit" });
    this.ask();
  }

  /** Choose the point nearest to a pixel, or else the camera whose frustum is there, or else nothing. */
  choose(x: number, y: number, radius = CLICK_RADIUS): void {
    const hit = this.cloud.pick(x, y, radius, this.camera, this.view.clientWidth, this.view.clientHeight);
    if (hit) {
      this.app.state.set({ selected: { frame: hit.frame, point: hit.point } });
      return;
    }
    const camera = this.markers.frusta.find(({ apex, corners }) =>
      corners.some((corner, i) => this.near(apex, corner, x, y) || this.near(corner, corners[(i + 1) % 4], x, y)));
    this.app.state.set(camera ? { camera: camera.camera } : { selected: null });
  }

  private near(a: Vector, b: Vector, x: number, y: number): boolean {
    const [p, q] = [this.project(a), this.project(b)];
    if (!p || !q) return false;
    const [dx, dy] = [q[0] - p[0], q[1] - p[1]];
    const share = Math.min(1, Math.max(0, ((x - p[0]) * dx + (y - p[1]) * dy) / (dx * dx + dy * dy || 1)));
    return Math.hypot(p[0] + share * dx - x, p[1] + share * dy - y) <= CLICK_RADIUS;
  }

  /** Orbit for some seconds, as fast as frames are drawn; returns frames a second. */
  framesPerSecond(seconds: number): Promise<number> {
    const first = this.drawn;
    const begin = performance.now();
    return new Promise((resolve) => {
      const step = () => {
        this.turn(0.01, 0);
        cancelAnimationFrame(this.asked);
        this.draw();
        if (performance.now() - begin < 1000 * seconds) {
          requestAnimationFrame(step);
          return;
        }
        if (this.renderer instanceof WebGLRenderer) {
          // Reading a pixel waits until all of it is really drawn.
          const gl = this.renderer.getContext();
          gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
        }
        resolve((1000 * (this.drawn - first)) / (performance.now() - begin));
      };
      requestAnimationFrame(step);
    });
  }

  private draw(): void {
    this.asked = 0;
    this.drawn++;
    this.camera.updateMatrixWorld();
    this.renderer.render(this.scene, this.camera);
    this.labels.place(this);
  }

  private resize(): void {
    const width = Math.max(1, this.element.clientWidth);
    const height = Math.max(1, this.element.clientHeight);
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    // At once: a canvas of another size is empty until it is drawn.
    cancelAnimationFrame(this.asked);
    this.draw();
  }

  private listenToClicks(): void {
    let down: PointerEvent | null = null;
    this.view.addEventListener("pointerdown", (event) => (down = event));
    this.view.addEventListener("pointerup", (event) => {
      const still = down && down.button === 0 && Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) < 4;
      down = null;
      if (still) this.choose(event.offsetX, event.offsetY);
    });
  }

  private deviceAt(): Vector {
    return apply(this.app.scene.frames[this.app.state.get().frame].world_from_ego ?? IDENTITY, [0, 0, 0]);
  }

  private followDevice(): void {
    const before = this.device;
    this.device = this.deviceAt();
    const { view, follow } = this.app.state.get();
    if (!follow) return;
    if (view === "driver") {
      this.look("driver");
      return;
    }
    const by = new Vector3(...this.device).sub(new Vector3(...before));
    this.camera.position.add(by);
    this.controls.target.add(by);
    this.controls.update();
  }

  /** The first points that are there tell how far the eye must be. */
  private pointsChanged(): void {
    const row = this.app.state.get().frame;
    const points = this.reachIsKnown ? null : this.app.points.get(row);
    if (points && points.count) {
      this.reachIsKnown = true;
      this.reach = reachOf(points.position, points.count, this.deviceAt());
      this.camera.far = Math.max(2000, 40 * this.reach);
      this.camera.updateProjectionMatrix();
      this.markers.sync();
      this.look(this.app.state.get().view);
    }
    this.ask();
  }
}

/** The distance from the device within which 85 % of the points are, metres. */
function reachOf(positions: Float32Array, count: number, [x, y]: Vector): number {
  const step = Math.max(1, Math.floor(count / 5000));
  const distances = [];
  for (let i = 0; i < count; i += step) distances.push(Math.hypot(positions[3 * i] - x, positions[3 * i + 1] - y));
  distances.sort((a, b) => a - b);
  return Math.min(400, Math.max(4, distances[Math.floor(0.85 * (distances.length - 1))]));
}
