// Elements in one expression each.

type Child = Node | string;
type Attributes = Record<string, string | number | boolean | null | ((event: Event) => void)>;

/** Make an element: attributes by name, listeners by "onclick" and the like; null and false leave an attribute out. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** A figure with a fixed number of decimals, a real minus sign, and commas between thousands. */
export function figure(value: number, decimals: number): string {
  if (!Number.isFinite(value)) return "–";
  const [whole, part] = Math.abs(value).toFixed(decimals).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  const negative = value < 0 && Number(Math.abs(value).toFixed(decimals)) !== 0;
  return (negative ? "−" : "") + grouped + (part ? `.${part}` : "");
}
