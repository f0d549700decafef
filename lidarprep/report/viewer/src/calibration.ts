import type { App } from "./state";

export function mountCalibration(_element: HTMLElement, _app: App): void {}
