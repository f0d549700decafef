import type { App } from "./state";

export function mountImages(_element: HTMLElement, _app: App): void {}
