// What the 3D view shows besides points: grid, region, band, path, axes, cameras, radar, cuboids, and their labels.

import { BufferAttribute, BufferGeometry, DoubleSide, Group, Mesh, MeshBasicMaterial, type Object3D, Points as ThreePoints } from "three";
import { pointMaterial } from "./cloud";
import { kindColour, type Rgb } from "./colour";
import type { CuboidData, FrameData, Matrix, Vector } from "./data";
import { type Frustum, frustaOf } from "./frusta";
import { apply, fromQuaternion, IDENTITY } from "./geometry";
import { Lines, rectangle } from "./lines";
import { type App, type Layer, shownFrames } from "./state";

const GRID: Rgb = [44, 50, 60];
const REGION: Rgb = [240, 228, 66];
const BAND: Rgb = [86, 180, 233];
const PATH: Rgb = [230, 159, 0];
const CAMERA: Rgb = [150, 158, 170];
const CHOSEN: Rgb = [255, 255, 255];
const RADAR: Rgb = [204, 121, 167];
const AXES: [Vector, Rgb][] = [[[1, 0, 0], [235, 87, 87]], [[0, 1, 0], [80, 190, 120]], [[0, 0, 1], [90, 140, 255]]];

export interface Label {
  at: Vector;
  text: string;
  colour: Rgb;
  /** Row of the camera that a click on the label chooses. */
  camera: number | null;
}

export class Markers {
  readonly group = new Group();
  labels: Label[] = [];
  frusta: Frustum[] = [];
  private readonly lines = new Lines();
  private readonly faint = new Lines(0.55);
  private readonly band: Mesh<BufferGeometry, MeshBasicMaterial>;
  private readonly radar: ThreePoints;
  private readonly kinds: string[];

  /** `reach`: how far the points go, metres: sizes of what has none of its own follow it. */
  constructor(private readonly app: App, private readonly reach: () => number) {
    const colour = (BAND[0] << 16) | (BAND[1] << 8) | BAND[2];
    this.band = new Mesh(new BufferGeometry(), new MeshBasicMaterial({ color: colour, transparent: true, opacity: 0.07, side: DoubleSide, depthWrite: false }));
    this.radar = new ThreePoints(new BufferGeometry(), pointMaterial(5));
    const all: Object3D[] = [this.faint.object, this.lines.object, this.radar, this.band];
    for (const object of all) object.frustumCulled = false;
    this.group.add(...all);
    this.kinds = [...new Set(app.scene.frames.flatMap((frame) => frame.cuboids.map((cuboid) => cuboid.label)))].sort();
  }

  /** Why a layer has nothing to show in this page; null if it has. */
  problem(layer: Layer): string | null {
    const { scene } = this.app;
    switch (layer) {
      case "region": return scene.region ? null : "No region of interest is set.";
      case "band": return scene.band ? null : "No height band: the device's height is not known.";
      case "path": return scene.path.length > 1 ? null : "The recording has no poses of its device.";
      case "cameras":
        if (!scene.cameras.length) return "The recording has no cameras.";
        return scene.frames.some((frame) => frustaOf(this.app, frame, 1).length) ? null : "No camera has a pose.";
      case "radar": return scene.frames.some((frame) => frame.radar.length) ? null : "The recording has no radar points.";
      case "cuboids": return this.kinds.length ? null : "There are no labels.";
      case "labels": return this.problem("cuboids") && this.problem("cameras") ? "There is nothing to name." : null;
      default: return null;
    }
  }

  sync(): void {
    const { scene, state } = this.app;
    const { layers, frame: row, camera } = state.get();
    const frame = scene.frames[row];
    const pose = frame.world_from_ego ?? IDENTITY;
    const ground = -(scene.band?.device_height ?? 0);
    const reach = this.reach();
    this.labels = [];
    this.frusta = [];
    if (layers.has("grid")) this.drawGrid(pose, ground, reach);
    if (layers.has("region") && scene.region) this.drawRegion(apply(pose, [0, 0, ground])[2]);
    if (layers.has("path")) this.lines.polyline(scene.path, PATH);
    if (layers.has("axes")) {
      const size = Math.min(3, Math.max(0.5, reach / 15));
      for (const [axis, colour] of AXES) this.lines.segment(apply(pose, [0, 0, 0]), apply(pose, axis.map((value) => value * size) as Vector), colour);
    }
    if (layers.has("cameras")) this.drawCameras(frame, camera, Math.min(4, Math.max(0.4, reach / 14)));
    if (layers.has("cuboids")) for (const each of shownFrames(scene, state.get())) this.drawCuboids(scene.frames[each], each === row);
    this.lines.finish();
    this.faint.finish();
    this.drawBand(layers.has("band") ? pose : null, reach);
    this.drawRadar(layers.has("radar") ? shownFrames(scene, state.get()).flatMap((each) => scene.frames[each].radar) : []);
  }

  /** Squares of 10 m (of 100 m where the points go far) on the ground below the device, along the world's axes. */
  private drawGrid(pose: Matrix, ground: number, reach: number): void {
    const cell = reach > 400 ? 100 : reach > 15 ? 10 : 1;
    const half = Math.min(20, Math.ceil(reach / cell)) * cell;
    const [x, y, z] = apply(pose, [0, 0, ground]);
    const [cx, cy] = [Math.round(x / cell) * cell, Math.round(y / cell) * cell];
    for (let at = -half; at <= half; at += cell) {
      this.faint.segment([cx - half, cy + at, z], [cx + half, cy + at, z], GRID);
      this.faint.segment([cx + at, cy - half, z], [cx + at, cy + half, z], GRID);
    }
  }

  private drawRegion(z: number): void {
    const { x, y, length, width, rotation } = this.app.scene.region!;
    const [c, s] = [Math.cos(rotation), Math.sin(rotation)];
    const corners = rectangle([c, -s, 0, x, s, c, 0, y, 0, 0, 1, 0], length, width, z);
    this.lines.polyline(corners, REGION, true);
    for (const [px, py, pz] of corners) this.lines.segment([px, py, pz], [px, py, pz + 3], REGION);
  }

  private drawBand(pose: Matrix | null, reach: number): void {
    this.band.visible = pose !== null && this.app.scene.band !== null;
    if (!pose || !this.app.scene.band) return;
    const { device_height, lowest, highest } = this.app.scene.band;
    const side = Math.min(120, 1.2 * reach);
    const positions: number[] = [];
    for (const height of [lowest, highest]) {
      const [a, b, c, d] = rectangle(pose, side, side, height - device_height);
      positions.push(...a, ...b, ...c, ...a, ...c, ...d);
    }
    replaceGeometry(this.band, "position", positions);
  }

  private drawRadar(points: Vector[]): void {
    this.radar.visible = points.length > 0;
    replaceGeometry(this.radar, "position", points.flat());
    const colours = Uint8Array.from({ length: 4 * points.length }, (_, i) => (i % 4 === 3 ? 255 : RADAR[i % 4]));
    this.radar.geometry.setAttribute("colour", new BufferAttribute(colours, 4, true));
  }

  private drawCameras(frame: FrameData, chosen: number | null, size: number): void {
    this.frusta = frustaOf(this.app, frame, size);
    for (const { camera, apex, corners } of this.frusta) {
      const colour = camera === chosen ? CHOSEN : CAMERA;
      for (const corner of corners) this.lines.segment(apex, corner, colour);
      this.lines.polyline(corners, colour, true);
      // A roof over the upper edge says which way is up in the image.
      const [a, b, , d] = corners;
      const roof = [0, 1, 2].map((i) => (a[i] + b[i]) / 2 + 0.18 * (a[i] - d[i])) as Vector;
      this.lines.polyline([a, roof, b], colour);
      this.labels.push({ at: roof, text: this.app.scene.cameras[camera].name, colour, camera });
    }
  }

  private drawCuboids(frame: FrameData, current: boolean): void {
    for (const cuboid of frame.cuboids) {
      const colour = kindColour(this.kinds.indexOf(cuboid.label));
      const { edges, top } = wire(cuboid);
      for (const [a, b] of edges) {
        if (cuboid.prelabel) this.lines.dashes(a, b, colour, 7);
        else this.lines.segment(a, b, colour);
      }
      if (current) this.labels.push({ at: top, text: [cuboid.label, cuboid.id].filter(Boolean).join(" "), colour, camera: null });
    }
  }
}

function replaceGeometry(object: { geometry: BufferGeometry }, name: string, values: number[]): void {
  object.geometry.dispose();
  object.geometry = new BufferGeometry();
  object.geometry.setAttribute(name, new BufferAttribute(new Float32Array(values), 3));
}

/** The 12 edges of a cuboid and an arrow on its front face; and the middle of its upper face. */
function wire(cuboid: CuboidData): { edges: [Vector, Vector][]; top: Vector } {
  const m = fromQuaternion(cuboid.rotation, cuboid.center);
  const at = (x: number, y: number, z: number): Vector =>
    apply(m, [(x * cuboid.size[0]) / 2, (y * cuboid.size[1]) / 2, (z * cuboid.size[2]) / 2]);
  const edges: [Vector, Vector][] = [];
  for (const i of [-1, 1]) {
    for (const j of [-1, 1]) {
      edges.push([at(-1, i, j), at(1, i, j)], [at(i, -1, j), at(i, 1, j)], [at(i, j, -1), at(i, j, 1)]);
    }
  }
  const on = (forward: number, aside: number, z: number) => (cuboid.front === "x" ? at(forward, aside, z) : at(aside, forward, z));
  edges.push([on(1, -1, -1), on(1, 1, 1)], [on(1, -1, 1), on(1, 1, -1)]);
  edges.push([on(0, 0, -1), on(1.6, 0, -1)], [on(1.6, 0, -1), on(1.25, 0.25, -1)], [on(1.6, 0, -1), on(1.25, -0.25, -1)]);
  return { edges, top: at(0, 0, 1) };
}
