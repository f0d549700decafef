// Small helpers to make elements.

type Child = Node | string | null;

/** An element with a class, attributes and children. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K, className = "", attributes: Record<string, string> = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A labelled choice; its value is one of the options' keys. */
export function choice(label: string, options: Record<string, string>, value: string, change: (value: string) => void): HTMLLabelElement {
  const select = el("select");
  for (const [key, text] of Object.entries(options)) select.append(el("option", "", { value: key }, text));
  select.value = value;
  select.addEventListener("change", () => change(select.value));
  return el("label", "lv-field", {}, el("span", "", {}, label), select);
}

export function toggle(label: string, value: boolean, change: (value: boolean) => void): HTMLLabelElement {
  const box = el("input", "", { type: "checkbox" });
  box.checked = value;
  box.addEventListener("change", () => change(box.checked));
  return el("label", "lv-check", {}, box, el("span", "", {}, label));
}

export function button(text: string, title: string, press: () => void, className = "lv-button"): HTMLButtonElement {
  const element = el("button", className, { type: "button", title }, text);
  element.addEventListener("click", press);
  return element;
}
