// Controls with their labels.

import { h } from "./dom";

/** A labelled choice; its value is one of the options' keys. */
export function choice(label: string, options: Record<string, string>, value: string, change: (value: string) => void): HTMLLabelElement {
  const select = h("select", { class: "lv-select", onchange: () => change(select.value) });
  for (const [key, text] of Object.entries(options)) select.append(h("option", { value: key }, text));
  select.value = value;
  return h("label", { class: "lv-field" }, h("span", {}, label), select);
}

export function toggle(label: string, value: boolean, change: (value: boolean) => void): HTMLLabelElement {
  const box = h("input", { type: "checkbox", checked: value, onchange: () => change(box.checked) });
  return h("label", { class: "lv-check" }, box, h("span", {}, label));
}

export function button(text: string, title: string, press: () => void, className = "lv-button"): HTMLButtonElement {
  return h("button", { class: className, type: "button", title, onclick: press }, text);
}
