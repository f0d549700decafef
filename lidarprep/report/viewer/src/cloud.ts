// The points in 3D: one draw call a frame of the recording, colours as bytes, and the search for the point at a pixel.

import { BufferAttribute, BufferGeometry, Group, Points as ThreePoints, ShaderMaterial, type PerspectiveCamera, Matrix4 } from "three";
import type { App } from "./state";
import { shownFrames } from "./state";

/** Nearer than this, metres, points grow, up to so many times: surfaces close up, and far points don't smear. */
export const NEAR_SIZE = 10;
export const GROWTH = 2.5;

export function pointMaterial(size: number): ShaderMaterial {
  return new ShaderMaterial({
    uniforms: { size: { value: size } },
    vertexShader: `
      attribute vec4 colour;
      uniform float size;
      varying vec3 shade;
      void main() {
        shade = colour.rgb;
        gl_Position = colour.a > 0.5 ? projectionMatrix * modelViewMatrix * vec4(position, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
        gl_PointSize = size * clamp(${NEAR_SIZE.toFixed(1)} / gl_Position.w, 1.0, ${GROWTH.toFixed(1)});
      }`,
    fragmentShader: `
      varying vec3 shade;
      void main() { gl_FragColor = vec4(shade, 1.0); }`,
  });
}

/** Rows ahead of the shown ones that are decoded while the browser is idle. */
const AHEAD = 6;

/** A point near a pixel: its distance in pixels, and in depth. */
interface Hit {
  frame: number;
  point: number;
  pixels: number;
  depth: number;
}

export class Cloud {
  readonly group = new Group();
  private readonly clouds = new Map<number, ThreePoints<BufferGeometry, ShaderMaterial>>();
  private readonly material: ShaderMaterial;

  constructor(private readonly app: App, private readonly changed: () => void) {
    this.material = pointMaterial(app.state.get().pointSize);
  }

  /** Draw what the state says; frames that are not decoded yet follow when they are. */
  sync(): void {
    const state = this.app.state.get();
    const rows = shownFrames(this.app.scene, state);
    this.material.uniforms.size.value = state.pointSize;
    let waiting = false;
    for (const row of rows) {
      const points = this.app.points.get(row);
      if (points === undefined) {
        waiting = true;
        void this.app.points.load(row).then(() => this.sync());
      } else if (points) {
        this.draw(row, points.position);
      }
    }
    // What was shown stays until all of what is wanted is there: nothing flickers.
    if (!waiting) {
      for (const row of [...this.clouds.keys()]) if (!rows.includes(row)) this.remove(row);
      this.decodeAhead(rows[rows.length - 1] + 1, AHEAD);
    }
    this.changed();
  }

  private draw(row: number, position: Float32Array): void {
    const colours = this.app.colours.of(row);
    if (!colours) return;
    let cloud = this.clouds.get(row);
    if (!cloud) {
      const geometry = new BufferGeometry();
      geometry.setAttribute("position", new BufferAttribute(position, 3));
      cloud = new ThreePoints(geometry, this.material);
      cloud.frustumCulled = false;
      this.clouds.set(row, cloud);
      this.group.add(cloud);
    }
    const shown = cloud.userData as { colours?: Uint8Array; key?: string };
    const key = this.app.colours.keyOf(row);
    if (shown.colours !== colours) {
      cloud.geometry.setAttribute("colour", new BufferAttribute(colours, 4, true));
    } else if (shown.key !== key) {
      cloud.geometry.getAttribute("colour").needsUpdate = true;
    }
    Object.assign(shown, { colours, key });
  }

  private remove(row: number): void {
    const cloud = this.clouds.get(row)!;
    cloud.geometry.dispose();
    this.group.remove(cloud);
    this.clouds.delete(row);
  }

  private decodeAhead(row: number, left: number): void {
    if (left === 0 || row >= this.app.scene.frames.length || this.app.points.has(row)) return;
    const idle = window.requestIdleCallback ?? ((task: () => void) => setTimeout(task, 50));
    idle(() => void this.app.points.load(row).then(() => this.decodeAhead(row + 1, left - 1)));
  }

  /** The shown point nearest to a pixel of the canvas, within a radius; of those in one pixel, the nearest to the eye. */
  pick(x: number, y: number, radius: number, camera: PerspectiveCamera, width: number, height: number): Hit | null {
    const m = new Matrix4().multiplyMatrices(camera.projectionMatrix, camera.matrixWorldInverse).elements;
    let best: Hit | null = null;
    for (const row of this.clouds.keys()) {
      const points = this.app.points.get(row);
      const colours = this.app.colours.of(row);
      if (!points || !colours) continue;
      const at = points.position;
      for (let i = 0, j = 0; i < points.count; i++, j += 3) {
        if (colours[4 * i + 3] === 0) continue;
        const px = at[j], py = at[j + 1], pz = at[j + 2];
        const w = m[3] * px + m[7] * py + m[11] * pz + m[15];
        if (w < camera.near) continue;
        const dx = ((m[0] * px + m[4] * py + m[8] * pz + m[12]) / w + 1) * 0.5 * width - x;
        if (dx > radius || dx < -radius) continue;
        const dy = (1 - (m[1] * px + m[5] * py + m[9] * pz + m[13]) / w) * 0.5 * height - y;
        const squared = dx * dx + dy * dy;
        if (squared > radius * radius) continue;
        const pixels = Math.floor(Math.sqrt(squared));
        if (!best || pixels < best.pixels || (pixels === best.pixels && w < best.depth)) best = { frame: row, point: i, pixels, depth: w };
      }
    }
    return best;
  }
}
