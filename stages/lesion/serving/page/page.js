// The page: which photographs there are, which one is shown, and what is known of it.

import { drawHeat, outlineAt, probabilityMap } from "./probabilities.js";
import { overlay, pathOf, save, stem, table } from "./saving.js";
import { Refusal, segmented, send, whenAway } from "./sending.js";

const SMALL = 256; // pixels of a thumbnail
const LARGE = 2048; // of what the server shows of a file that the browser cannot
const RESTED = 150; // milliseconds after which a slider that was moved counts as set
const one = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];

let model;
const photographs = []; // in the order in which they came
let current = null;
let beside = null;

// ---- small tools ----

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const number = (value, digits = 0) =>
  value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

function say(line) {
  one("#status").textContent = line;
}

// ---- photographs ----

function add(files) {
  const added = [...files].map((file) => ({
    file,
    name: file.name || "photograph",
    state: "waiting", // then working, and done or failed
    answer: null, // the server's, at the threshold that it has; null till it is done
    moved: null, // the outline while the threshold is being moved
    ruler: null, // {points: [[x, y], [x, y]], distance: mm or null}
  }));
  if (!added.length) return;
  photographs.push(...added);
  say(added.length === 1 ? `${added[0].name} added` : `${added.length} photographs added`);
  for (const photograph of added) work(photograph);
  if (!current) show(added[0]);
  else draw();
  if (document.activeElement.closest("#begin")) focusThumbnail(added[0]); // which is hidden now
}

async function work(photograph) {
  try {
    const { file } = photograph;
    if (!file.size) throw new Refusal("the file is empty; choose another");
    if (file.size > model.most_bytes) {
      const [found, most] = [file.size, model.most_bytes].map((size) => number(size / 1e6));
      throw new Refusal(`found ${found} MB; expected at most ${most}; choose a smaller file`);
    }
    const options = { probabilities: 1, preview: SMALL };
    const answer = await segmented(file, options, () => set(photograph, { state: "working" }));
    const chosen = { threshold: answer.threshold, wanted: answer.threshold };
    const map = await probabilityMap(answer.probabilities, model.settings.temperature);
    const preview = `data:image/jpeg;base64,${answer.preview}`;
    const source = await shown(file, answer);
    delete answer.probabilities;
    delete answer.preview;
    set(photograph, { state: "done", answer, map, preview, source, ...chosen });
  } catch (error) {
    const why = error instanceof Refusal ? error.message : `the page failed: ${error.message}`;
    set(photograph, { state: "failed", why });
  }
  if (photographs.every(({ state }) => state === "done" || state === "failed")) say("All are done");
}

// What to show of a file: itself, if the browser shows it upright at the size that the server
// found; else what that makes of it.
async function shown(file, { width, height }) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await image.decode();
    if (image.naturalWidth === width && image.naturalHeight === height) return image.src;
  } catch {
    // a TIFF, say
  }
  URL.revokeObjectURL(image.src);
  const { preview } = await (await send(file, { preview: LARGE })).json();
  return `data:image/jpeg;base64,${preview}`;
}

function set(photograph, values) {
  Object.assign(photograph, values);
  if (photographs.includes(photograph)) draw();
}

function show(photograph) {
  current = photograph;
  if (beside === current) beside = null;
  draw();
}

function remove(photograph) {
  const place = photographs.indexOf(photograph);
  photographs.splice(place, 1);
  if (photograph.source?.startsWith("blob:")) URL.revokeObjectURL(photograph.source);
  if (beside === photograph) beside = null;
  show(photographs[Math.min(place, photographs.length - 1)] ?? null);
  if (current) focusThumbnail(current);
  else one("#begin .choose").focus();
  say(`${photograph.name} removed`);
}

// ---- drawing ----

let planned = false;

function draw() {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => {
    planned = false;
    one("#begin").hidden = photographs.length > 0;
    one("#work").hidden = !photographs.length;
    drawThumbnails();
    drawViews();
    if (current) drawSide();
    drawCompare();
  });
}

function drawThumbnails() {
  const list = one("#thumbnails");
  for (const photograph of photographs) photograph.thumbnail ??= makeThumbnail(photograph);
  const items = photographs.map(({ thumbnail }) => thumbnail);
  if (items.length !== list.children.length || items.some((item, at) => item !== list.children[at])) {
    list.replaceChildren(...items);
  }
  for (const photograph of photographs) drawThumbnail(photograph);
}

function makeThumbnail(photograph) {
  const button = element(
    "button",
    { type: "button" },
    element("span", { class: "picture" }),
    element("span", { class: "name" }, photograph.name),
  );
  button.addEventListener("click", () => show(photograph));
  return element("li", {}, button);
}

const STATES = { waiting: "waits", working: "is being segmented", failed: "cannot be used" };

function drawThumbnail(photograph) {
  const button = photograph.thumbnail.firstChild;
  const [picture] = button.children;
  const { state, answer } = photograph;
  const look = answer?.review ? "look" : "";
  if (button.dataset.state !== state + look) {
    button.dataset.state = state + look;
    const mark = state === "failed" ? "!" : state === "done" ? "" : "…";
    const image = state === "done" ? [element("img", { src: photograph.preview, alt: "" })] : [mark];
    picture.replaceChildren(...image, ...(look ? [element("i", { title: "look at this one" }, "?")] : []));
    const words = STATES[state] ?? (look ? "look at this one yourself" : "done");
    button.setAttribute("aria-label", `${photograph.name}: ${words}`);
  }
  if (photograph === current) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
}

function focusThumbnail(photograph) {
  requestAnimationFrame(() => photograph.thumbnail?.firstChild.focus());
}

// ---- one or two photographs in large ----

const views = [makeView(), makeView()];
const sizes = new ResizeObserver(() => views.forEach(drawRuler));

function makeView() {
  const node = one("#view").content.firstElementChild.cloneNode(true);
  const view = { node, photograph: null };
  const [first, second] = node.querySelectorAll(".handle");
  for (const [at, handle] of [first, second].entries()) {
    handle.addEventListener("pointerdown", (event) => drag(view, at, event));
    handle.addEventListener("keydown", (event) => nudge(view, at, event));
  }
  return view;
}

function drawViews() {
  const wanted = [current, beside].filter(Boolean);
  const place = one(".views");
  const nodes = views.slice(0, wanted.length).map(({ node }) => node);
  if (place.children.length !== nodes.length) place.replaceChildren(...nodes);
  place.classList.toggle("two", wanted.length > 1);
  wanted.forEach((photograph, at) => drawView(views[at], photograph));
}

function drawView(view, photograph) {
  const { node } = view;
  const picture = node.querySelector(".picture");
  const { answer, map } = photograph;
  node.querySelector("figcaption").textContent = beside ? photograph.name : "";
  picture.hidden = !answer;
  if (!answer) {
    view.photograph = null;
    return;
  }
  const { width, height } = answer;
  if (view.photograph !== photograph) {
    view.photograph = photograph;
    const image = node.querySelector("img");
    image.src = photograph.source;
    image.alt = `${photograph.name}, with the outline of the lesion`;
    picture.style.setProperty("--shape", width / height);
    const canvas = node.querySelector("canvas");
    drawHeat(canvas, map);
    for (const [name, part, whole] of [
      ["left", map.box.left, width],
      ["top", map.box.top, height],
      ["width", map.box.width, width],
      ["height", map.box.height, height],
    ]) {
      canvas.style[name] = `${(100 * part) / whole}%`;
    }
    node.querySelector("svg").setAttribute("viewBox", `0 0 ${width} ${height}`);
    sizes.observe(picture);
  }
  const way = pathOf(photograph.moved ?? answer.outline);
  for (const path of node.querySelectorAll("path")) path.setAttribute("d", way);
  drawRuler(view);
}

// ---- what is known of the photograph ----

const MEASURES = [
  // label, name, digits, power of the pixel's length
  ["Area", "area", 0, 2],
  ["Share", "lesion_share", 1, 0],
  ["Diameter", "diameter", 0, 1],
  ["Width", "width", 0, 1],
  ["Height", "height", 0, 1],
  ["Asymmetry", "asymmetry", 2, 0],
  ["Irregularity", "irregularity", 2, 0],
  ["Variegation", "variegation", 1, 0],
];
const UNITS = { px: ["", "px", "px²"], mm: ["", "mm", "mm²"] };

function drawSide() {
  const { name, state, answer, why } = current;
  one("#photograph-name").textContent = name;
  one("#photograph-size").textContent = answer
    ? [`${answer.width}×${answer.height} pixels`, ...answer.notes].join(", ")
    : "";
  one("#failure").hidden = state !== "failed";
  one("#failure").textContent = why ? `This file cannot be used: ${why}` : "";
  one("#pending").hidden = state !== "waiting" && state !== "working";
  one("#pending").textContent = state === "working" ? "Is being segmented …" : "Waits for its turn …";
  one("#found").hidden = !answer;
  for (const button of all(".of-found")) button.disabled = !answer;
  one("#save-table").disabled = !photographs.some((photograph) => photograph.answer);
  if (!answer) return;
  drawConfidence(answer);
  drawThreshold(current);
  drawMeasures();
  drawRulerFields();
}

function drawConfidence({ expected_dice, review, measures }) {
  const box = one(".confidence");
  box.classList.toggle("review", review);
  one("#expected").textContent = number(expected_dice, 2);
  const words = one("#words");
  const found = measures.area ? "" : "No lesion was found. ";
  words.replaceChildren(
    element("strong", {}, review ? "Look at this one yourself." : "Expected Dice"),
    review
      ? ` ${found}Of validation images a tenth had an expected Dice as low as this.`
      : `: ${found}how far the outline should agree with a true one; 1 is all.`,
  );
}

function drawThreshold({ wanted }) {
  const { threshold } = model.settings;
  const slider = one("#threshold");
  slider.value = wanted;
  one("#chosen-threshold option").value = threshold;
  one("#threshold-value").value = number(wanted, 2);
  const same = wanted === threshold;
  one("#threshold-note").textContent = same ? "as chosen on validation" : `chosen: ${number(threshold, 2)}`;
  one("#reset").hidden = same;
}

// Millimetres a pixel by the ruler; null without.
function scaleOf({ ruler }) {
  if (!ruler?.distance) return null;
  const [[x0, y0], [x1, y1]] = ruler.points;
  const length = Math.hypot(x1 - x0, y1 - y0);
  return length ? ruler.distance / length : null;
}

function measured(photograph, name, power) {
  const value = photograph.answer.measures[name] ?? null;
  if (value === null) return null;
  const scale = scaleOf(photograph);
  if (name === "lesion_share") return 100 * value;
  return scale && power ? value * scale ** power : value;
}

function written(photograph, name, digits, power) {
  const value = measured(photograph, name, power);
  if (value === null) return "–";
  const scale = scaleOf(photograph);
  const unit = UNITS[scale ? "mm" : "px"][power];
  const shown = number(value, scale && power ? 2 : digits);
  return name === "lesion_share" ? `${shown} %` : `${shown} ${unit}`.trim();
}

function drawMeasures() {
  const other = beside?.answer ? beside : null;
  const body = one(".measures tbody");
  one(".measures .other").hidden = one(".measures .change").hidden = !other;
  one(".measures .mine").replaceChildren(other ? "this" : element("span", { class: "unseen" }, "Value"));
  one(".measures .other").textContent = "other";
  body.replaceChildren(
    ...MEASURES.map(([label, name, digits, power]) => {
      const row = element("tr", {}, element("th", { scope: "row" }, label));
      row.append(element("td", {}, written(current, name, digits, power)));
      if (other) row.append(element("td", {}, written(other, name, digits, power)));
      if (other) row.append(element("td", {}, change(other, name, digits, power)));
      return row;
    }),
  );
}

// From the other photograph to this one; of lengths only where both have a scale, or neither.
function change(other, name, digits, power) {
  const [before, now] = [other, current].map((photograph) => measured(photograph, name, power));
  const scales = [other, current].map(scaleOf);
  if (before === null || now === null || (power && !scales[0] !== !scales[1])) return "–";
  const by = now - before;
  return `${by < 0 ? "−" : "+"}${number(Math.abs(by), scales[1] && power ? 2 : digits)}`;
}

// ---- the threshold ----

let rested;
let asking;

function moveThreshold(value) {
  const photograph = current;
  const { settings } = model;
  asking?.abort();
  clearTimeout(rested);
  photograph.wanted = value;
  if (value === photograph.answer.threshold) photograph.moved = null;
  else {
    photograph.moved = outlineAt(photograph.map, value, settings);
    rested = setTimeout(() => askAgain(photograph), RESTED);
  }
  draw();
}

// The mask and its measures are the server's, at whatever threshold.
async function askAgain(photograph) {
  asking = new AbortController();
  try {
    const options = { threshold: photograph.wanted, signal: asking.signal };
    const answer = await (await send(photograph.file, options)).json();
    if (answer.threshold === photograph.wanted) set(photograph, { answer, moved: null });
  } catch (error) {
    if (error.name !== "AbortError") say(error.message);
  }
}

one("#threshold").addEventListener("input", ({ target }) => moveThreshold(Number(target.value)));
one("#reset").addEventListener("click", () => {
  moveThreshold(model.settings.threshold);
  one("#threshold").focus();
});

// ---- layers ----

function drawLayers() {
  const layer = one("[name=layer]:checked").value;
  const fade = one("#fade").value;
  const root = document.documentElement;
  root.dataset.layer = layer;
  root.style.setProperty("--fade", fade / 100);
  const zoom = one("[name=zoom]:checked").value;
  root.style.setProperty("--zoom", zoom);
  // What can be scrolled has to be reached by keyboard.
  for (const { node } of views) node.querySelector(".frame").tabIndex = zoom > 1 ? 0 : -1;
  one("#fade-field").hidden = layer === "outline";
  one("#heat-legend").hidden = layer !== "heat";
  one("#fade-field output").value = `${fade} %`;
}

for (const control of all(".layers input")) control.addEventListener("input", drawLayers);
for (const control of all("[name=zoom]")) control.addEventListener("input", showMiddle);

function showMiddle() {
  for (const { node } of views) {
    const frame = node.querySelector(".frame");
    frame.scrollLeft = (frame.scrollWidth - frame.clientWidth) / 2;
    frame.scrollTop = (frame.scrollHeight - frame.clientHeight) / 2;
  }
}

// ---- the ruler ----

function drawRuler({ node, photograph }) {
  const points = photograph?.ruler?.points;
  const handles = [...node.querySelectorAll(".handle")];
  const own = points && photograph === current;
  for (const line of node.querySelectorAll(".rule")) line.toggleAttribute("hidden", !points);
  handles.forEach((handle, at) => {
    handle.hidden = !own;
    if (!own) return;
    const { width, height } = photograph.answer;
    const [x, y] = points[at];
    handle.style.left = `${(100 * x) / width}%`;
    handle.style.top = `${(100 * y) / height}%`;
    const which = at ? "Second" : "First";
    handle.setAttribute("aria-label", `${which} point of the ruler, at ${Math.round(x)}, ${Math.round(y)}; arrow keys move it`);
  });
  if (!points) return;
  for (const line of node.querySelectorAll(".rule")) {
    const [[x1, y1], [x2, y2]] = points;
    for (const [name, value] of Object.entries({ x1, y1, x2, y2 })) line.setAttribute(name, value);
  }
}

function drawRulerFields() {
  const { ruler } = current;
  one("#ruler").checked = Boolean(ruler);
  one("#ruler-fields").hidden = !ruler;
  if (!ruler) return;
  const field = one("#distance");
  if (document.activeElement !== field) field.value = ruler.distance ?? "";
  const scale = scaleOf(current);
  one("#scale").textContent = scale ? `1 mm is ${number(1 / scale, 1)} pixels.` : "";
}

one("#ruler").addEventListener("change", ({ target }) => {
  const { width, height } = current.answer;
  const points = [[0.35 * width, 0.9 * height], [0.65 * width, 0.9 * height]];
  set(current, { ruler: target.checked ? { points, distance: null } : null });
});
one("#distance").addEventListener("input", ({ target }) => {
  const distance = Number(target.value);
  current.ruler.distance = distance > 0 && Number.isFinite(distance) ? distance : null;
  draw();
});

function movePoint({ photograph }, at, x, y) {
  const { width, height } = photograph.answer;
  photograph.ruler.points[at] = [Math.min(width, Math.max(0, x)), Math.min(height, Math.max(0, y))];
  draw();
}

function drag(view, at, event) {
  const handle = event.currentTarget;
  handle.setPointerCapture(event.pointerId);
  const move = (moved) => {
    const box = view.node.querySelector(".picture").getBoundingClientRect();
    const { width, height } = view.photograph.answer;
    movePoint(
      view,
      at,
      ((moved.clientX - box.left) / box.width) * width,
      ((moved.clientY - box.top) / box.height) * height,
    );
  };
  handle.addEventListener("pointermove", move);
  for (const end of ["pointerup", "pointercancel"]) {
    handle.addEventListener(end, () => handle.removeEventListener("pointermove", move), { once: true });
  }
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function nudge(view, at, event) {
  const step = ARROWS[event.key];
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  const [x, y] = view.photograph.ruler.points[at];
  const far = event.shiftKey ? 10 : 1;
  movePoint(view, at, x + far * step[0], y + far * step[1]);
}

// ---- beside it ----

function drawCompare() {
  const others = photographs.filter((photograph) => photograph !== current && photograph.answer);
  const select = one("#compare");
  one("#compare-field").hidden = !others.length;
  const wanted = [["", "nothing"], ...others.map((other) => [photographs.indexOf(other), other.name])];
  const there = [...select.options].map(({ value, text }) => [value, text]);
  if (String(there) !== String(wanted)) {
    select.replaceChildren(...wanted.map(([value, text]) => element("option", { value }, text)));
  }
  select.value = beside ? photographs.indexOf(beside) : "";
}

one("#compare").addEventListener("change", ({ target }) => {
  beside = target.value === "" ? null : photographs[target.value];
  draw();
});

// ---- what can be taken away ----

one("#save-mask").addEventListener("click", async () => {
  const { file, name, wanted } = current;
  const answer = await send(file, { accept: "image/png", threshold: wanted });
  save(await answer.blob(), `${stem(name)}_segmentation.png`);
});

one("#save-overlay").addEventListener("click", async () => {
  const { answer, moved, name, source } = current;
  const image = new Image();
  image.src = source;
  await image.decode();
  save(await overlay(image, answer, moved ?? answer.outline), `${stem(name)}_overlay.png`);
});

one("#save-table").addEventListener("click", () => {
  const rows = photographs
    .filter(({ answer }) => answer)
    .map((photograph) => {
      const { name, answer } = photograph;
      const { width, height, threshold, expected_dice, review, measures, notes } = answer;
      return {
        file: name,
        image_height: height,
        image_width: width,
        threshold,
        ...measures,
        expected_dice: expected_dice.toFixed(6),
        review,
        mm_per_pixel: scaleOf(photograph)?.toPrecision(6),
        notes: notes.join("; "),
      };
    });
  save(new Blob([table(rows)], { type: "text/csv" }), "lesions.csv");
});

one("#remove").addEventListener("click", () => remove(current));

// ---- how photographs come ----

for (const [selector, input] of [[".choose", "#files"], [".camera", "#shot"]]) {
  for (const button of all(selector)) button.addEventListener("click", () => one(input).click());
  one(input).addEventListener("change", ({ target }) => {
    add(target.files);
    target.value = ""; // the same file may be chosen again
  });
}
addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) add(event.clipboardData.files);
});
let entered = 0; // elements of the page under what is being dragged
for (const [kind, by] of [["dragenter", 1], ["dragleave", -1]]) {
  addEventListener(kind, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    entered += by;
    one("#over").hidden = entered <= 0;
  });
}
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  entered = 0;
  one("#over").hidden = true;
  add(event.dataTransfer.files);
});
addEventListener("keydown", (event) => {
  if (!current || event.target.closest("input, select, .handle") || event.altKey || event.ctrlKey) return;
  const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
  const next = photographs[photographs.indexOf(current) + step];
  if (!step || !next || !event.target.closest(".strip")) return;
  event.preventDefault();
  show(next);
  focusThumbnail(next);
});

// ---- begin ----

whenAway((away) => {
  one("#away").hidden = !away;
  one("#away").textContent = away
    ? "The server does not answer. Start it again (make app); the page then goes on by itself."
    : "";
  if (!away) say("The server is back");
});

function offerSamples() {
  const items = Array.from({ length: model.samples }, (_, at) => {
    const image = element("img", { src: `/samples/${at}.jpg`, alt: "", loading: "lazy" });
    const button = element("button", { type: "button", "aria-label": `Drawing ${at + 1}` }, image);
    button.addEventListener("click", async () => {
      const answer = await fetch(image.src);
      add([new File([await answer.blob()], `drawing ${at + 1}.jpg`, { type: "image/jpeg" })]);
    });
    return element("li", {}, button);
  });
  one("#samples").replaceChildren(...items);
}

async function begin() {
  const answer = await fetch("/v1/model");
  model = await answer.json();
  one("#drawings").hidden = model.settings.origin !== "synthetic";
  one("#accepted").textContent =
    `JPEG, PNG, TIFF, BMP, GIF or WebP, up to ${number(model.most_bytes / 1e6)} MB ` +
    `and ${number(model.most_pixels / 1e6)} million pixels each`;
  offerSamples();
  drawLayers();
  one("#begin").hidden = false;
}

begin();
