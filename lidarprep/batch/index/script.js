"use strict";
// The scenes, filtered and sorted, so many rows at a time: ten thousand at once would be slow.
const CHUNK = 100;
const data = JSON.parse(document.getElementById("scenes-data").textContent);
const [NAME, RECORDING, STATE, FRAMES, POINTS, BYTES, SECONDS, ERRORS, WARNINGS, NOTES, CODES, TASK, BATCH, PROBLEM, PAGE, PICTURE] =
  Array(16).keys();
const rows = document.getElementById("rows"), more = document.getElementById("more");
const chosen = { states: new Set(), code: "", text: "", column: null, down: false };
let found = data.scenes, shown = 0;

const number = new Intl.NumberFormat("en");
const size = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(1)} MB`);
const element = (name, className, text) => {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};
const link = (href, text) => {
  const made = element("a", "", text);
  made.href = href;
  return made;
};
const named = (code) => data.codes[code];
const failed = (scene) => scene[PROBLEM] !== "";
const isIn = (scene, state) => scene[STATE] === state || (state === "failed" && failed(scene));

function row(scene) {
  const made = element("tr");
  const picture = element("td");
  if (scene[PICTURE]) {
    const image = element("img");
    image.loading = "lazy";
    image.alt = `${scene[NAME]} from above`;
    image.width = 128;
    image.height = 96;
    image.src = scene[PICTURE];
    picture.append(image);
  } else picture.append(element("div", "no-picture"));
  const name = element("th");
  name.scope = "row";
  name.append(scene[PAGE] ? link(scene[PAGE], scene[NAME]) : scene[NAME], element("span", "under", scene[RECORDING]));
  if (failed(scene)) name.append(element("span", "under problem", scene[PROBLEM]));
  const state = element("td");
  state.append(element("span", `state ${scene[STATE]}`, scene[STATE]));
  const findings = element("td", "wide-cell");
  for (const [column, kind] of [[ERRORS, "error"], [WARNINGS, "warning"], [NOTES, "note"]]) {
    if (scene[column]) findings.append(element("span", `badge ${kind}`, `${scene[column]} ${kind}${scene[column] > 1 ? "s" : ""}`), " ");
  }
  if (scene[CODES].length) {
    const codes = element("div", "codes");
    scene[CODES].forEach((code, nth) => codes.append(nth ? ", " : "", link(`#about-${named(code)}`, named(code))));
    findings.append(codes);
  }
  const task = element("td", "wide-cell", scene[TASK]);
  if (scene[BATCH]) task.append(element("span", "under", scene[BATCH]));
  const figures = [number.format(scene[FRAMES]), number.format(scene[POINTS]), size(scene[BYTES]), `${scene[SECONDS].toFixed(1)} s`];
  made.append(picture, name, state, ...figures.map((text) => element("td", "", text)), findings, task);
  return made;
}

function grow() {
  const next = found.slice(shown, shown + CHUNK);
  rows.append(...next.map(row));
  shown += next.length;
  more.hidden = shown >= found.length;
  more.textContent = `${number.format(found.length - shown)} more follow as you scroll.`;
}

const KEYS = [NAME, STATE, FRAMES, POINTS, BYTES, SECONDS, (scene) => scene[ERRORS] * 1e8 + scene[WARNINGS] * 1e4 + scene[NOTES], BATCH];

function show() {
  const { states, code, text, column, down } = chosen;
  found = data.scenes.filter(
    (scene) =>
      (!states.size || [...states].some((state) => isIn(scene, state))) &&
      (code === "" || scene[CODES].includes(Number(code))) &&
      (!text || `${scene[NAME]} ${scene[RECORDING]}`.toLowerCase().includes(text)),
  );
  if (column !== null) {
    const key = typeof KEYS[column] === "function" ? KEYS[column] : (scene) => scene[KEYS[column]];
    const order = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
    found.sort((a, b) => (down ? -1 : 1) * order(key(a), key(b)));
  }
  document.getElementById("count").value = `${number.format(found.length)} of ${number.format(data.scenes.length)} scenes`;
  rows.replaceChildren();
  shown = 0;
  grow();
}

for (const state of data.states) {
  const count = data.scenes.filter((scene) => isIn(scene, state)).length;
  if (!count) continue;
  const chip = element("label", "chip"), box = element("input");
  box.type = "checkbox";
  box.value = state;
  box.addEventListener("change", () => {
    box.checked ? chosen.states.add(state) : chosen.states.delete(state);
    show();
  });
  chip.append(box, `${state} `, element("span", "quiet", number.format(count)));
  document.getElementById("states").append(chip);
}
const code = document.getElementById("code");
data.codes.forEach((name, nth) => {
  const option = element("option", "", name);
  option.value = nth;
  code.append(option);
});
code.addEventListener("change", () => ((chosen.code = code.value), show()));
const text = document.getElementById("text");
text.addEventListener("input", () => ((chosen.text = text.value.trim().toLowerCase()), show()));
document.querySelectorAll("#table thead button").forEach((button, column) =>
  button.addEventListener("click", () => {
    chosen.down = chosen.column === column ? !chosen.down : column > 1;
    chosen.column = column;
    for (const head of document.querySelectorAll("#table thead th")) head.removeAttribute("aria-sort");
    button.parentElement.setAttribute("aria-sort", chosen.down ? "descending" : "ascending");
    show();
  }),
);
document.addEventListener("click", (event) => {
  const href = event.target.closest("a")?.getAttribute("href");
  if (href?.startsWith("#about-")) document.getElementById(href.slice(1))?.setAttribute("open", "");
});
document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
document.getElementById("filters").hidden = false;
const end = new IntersectionObserver((seen) => {
  if (!seen.some((one) => one.isIntersecting) || shown >= found.length) return;
  grow();
  end.unobserve(more); // It tells only of changes, and the end may be in view still.
  end.observe(more);
});
end.observe(more);
show();
