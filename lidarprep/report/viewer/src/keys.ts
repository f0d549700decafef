// Keys of the viewer: a table of actions that the parts fill, and the help overlay that lists it.

import { h } from "./dom";

export interface Action {
  /** As KeyboardEvent.key has it, letters in lower case; "Shift+" before it where the key alone means something else. */
  key: string;
  /** What it does, as the help lists it. */
  label: string;
  group: string;
  run(): void;
  /** Only while this element has the focus. */
  only?: HTMLElement;
}

const NAMES: Record<string, string> = {
  " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc",
  "-": "−", "Shift+ArrowLeft": "Shift ←", "Shift+ArrowRight": "Shift →", "Shift+ArrowUp": "Shift ↑", "Shift+ArrowDown": "Shift ↓",
};

export function keyName(key: string): string {
  return NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key.replace(/^Shift\+(.)$/, (_, letter: string) => `Shift ${letter.toUpperCase()}`));
}

/** Whether an element uses a key itself, as a text field or a select does. */
function takesKey(target: EventTarget | null, key: string): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.matches("select, textarea")) return true;
  if (target instanceof HTMLInputElement) {
    if (target.type === "range") return /^(Arrow|Page|Home|End)/.test(key);
    return target.type === "checkbox" || target.type === "radio" ? key === " " || key.startsWith("Arrow") : true;
  }
  return target.matches("button, summary, a") && (key === " " || key === "Enter");
}

export class Keys {
  private readonly actions: Action[] = [];
  private readonly dialog: HTMLDialogElement;

  constructor(parent: HTMLElement) {
    this.dialog = h("dialog", { class: "lv-help", "aria-label": "Keys of the viewer" });
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    parent.append(this.dialog);
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  add(...actions: Action[]): void {
    this.actions.push(...actions);
  }

  /** A label with the key in brackets, for titles. */
  title(label: string, key: string): string {
    return `${label} (${keyName(key)})`;
  }

  toggleHelp(): void {
    if (this.dialog.open) {
      this.dialog.close();
      return;
    }
    const groups = new Map<string, Map<string, string[]>>();
    for (const { group, label, key } of this.actions) {
      const rows = groups.get(group) ?? groups.set(group, new Map()).get(group)!;
      rows.set(label, [...(rows.get(label) ?? []), keyName(key)]);
    }
    const close = h("button", { type: "button", class: "lv-button", onclick: () => this.dialog.close() }, "Close");
    this.dialog.replaceChildren(
      h("header", {}, h("h3", {}, "Keys"), close),
      h("div", { class: "lv-help-groups" }, ...[...groups].map(([group, rows]) =>
        h("section", {}, h("h4", {}, group), h("dl", {}, ...[...rows].flatMap(([label, keys]) => [
          h("dt", {}, ...keys.map((key) => h("kbd", {}, key))), h("dd", {}, label),
        ]))))),
      h("p", {}, "Mouse: drag turns, right drag moves, the wheel zooms, a click chooses a point or a camera."),
    );
    this.dialog.showModal();
  }

  private onKey(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
    if (this.dialog.open) {
      if (event.key === "?") this.dialog.close();
      return;
    }
    // Digits with Shift are other characters on each keyboard: their code says which key it is.
    const digit = event.shiftKey && event.code.startsWith("Digit") ? event.code.slice(5) : null;
    const plain = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const names = [plain];
    if (event.shiftKey) names.unshift(`Shift+${digit ?? plain}`);
    for (const name of names) {
      // A letter with Shift is not the letter alone; characters that need Shift, as "?", are themselves.
      if (event.shiftKey && name === plain && (/^[a-z]$/.test(plain) || plain.length > 1)) continue;
      if (takesKey(event.target, plain)) return;
      const action = this.actions.find((each) => each.key === name && (!each.only || each.only === document.activeElement));
      if (action) {
        event.preventDefault();
        action.run();
        return;
      }
    }
  }
}
