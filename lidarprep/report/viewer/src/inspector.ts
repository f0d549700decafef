// What is known of the selected point.

import { figure, h } from "./dom";
import { apply, IDENTITY, invert } from "./geometry";
import type { App } from "./state";

/** Nanoseconds since the epoch as a date and time in UTC, or as plain seconds where they are of another clock. */
export function clock(ns: bigint): string {
  if (ns < 315_532_800_000_000_000n) return `${figure(Number(ns) / 1e9, 6)} s`;
  const date = new Date(Number(ns / 1_000_000n)).toISOString();
  return `${date.slice(0, 10)} ${date.slice(11, 19)}.${String(ns % 1_000_000_000n).padStart(9, "0").slice(0, 6)} UTC`;
}

/** Names and values of a point; null if it is not decoded. */
export function describe(app: App, row: number, point: number): [string, string][] | null {
  const { scene } = app;
  const points = app.points.get(row);
  if (!points || point >= points.count) return null;
  const frame = scene.frames[row];
  const at = [0, 1, 2].map((axis) => points.position[3 * point + axis]) as [number, number, number];
  const own = apply(invert(frame.world_from_ego ?? IDENTITY), at);
  const rows: [string, string][] = [["Frame", frame.id]];
  ["x", "y", "z"].forEach((name, axis) => rows.push([name, `${figure(at[axis] + scene.offset[axis], 3)} m`]));
  rows.push(["Range from the device", frame.world_from_ego || !scene.has_poses ? `${figure(Math.hypot(...own), 2)} m` : "not known: the frame has no pose"]);
  rows.push(["Height above the ground", scene.band ? `${figure(own[2] + scene.band.device_height, 2)} m` : "not known: no device height"]);
  if (points.intensity && scene.intensity) {
    const share = points.intensity[point] / 255;
    rows.push(["Intensity", `${figure(share, 2)} (recorded as ${figure(share * scene.intensity.scale, scene.intensity.scale > 2 ? 0 : 2)})`]);
  } else {
    rows.push(["Intensity", "none"]);
  }
  const device = points.device ? scene.devices[points.device[point]] : scene.devices.length === 1 ? scene.devices[0] : undefined;
  rows.push(["Device", device ? device.name || String(device.id) : "not known"]);
  const span = frame.points?.time;
  if (points.time && span) {
    const within = BigInt(Math.round((points.time[point] / 65535) * span.span));
    rows.push(["Time", clock(BigInt(span.first) + within)], ["Time in the frame", `${figure(Number(within) / 1e6, 1)} ms`]);
  } else {
    rows.push(["Time", frame.timestamp ? `${clock(BigInt(frame.timestamp))} (of the frame)` : "none"]);
  }
  rows.push(["Fate", scene.fates[points.fate ? points.fate[point] : 0] ?? "kept"]);
  return rows;
}

/** The panel of the selected point; empty and hidden if there is none. */
export function mountInspector(element: HTMLElement, app: App): void {
  const show = () => {
    const { selected } = app.state.get();
    const rows = selected && describe(app, selected.frame, selected.point);
    element.hidden = !rows;
    if (!rows) {
      element.replaceChildren();
      return;
    }
    const close = h("button", { type: "button", class: "lv-close", title: "Clear the selection (Esc)", "aria-label": "Clear the selection", onclick: () => app.state.set({ selected: null }) }, "×");
    element.replaceChildren(
      h("header", {}, h("h3", {}, "Point"), close),
      h("dl", {}, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    );
    app.announce(`Point selected: ${rows.map(([name, value]) => `${name} ${value}`).join(", ")}`);
  };
  app.state.subscribe((_, changed) => changed.has("selected") && show());
  show();
}
