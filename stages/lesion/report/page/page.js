// The gallery: which cases are shown in which order, and a larger view of one of them.
// All that a person can set lives in the form's controls; the address keeps what is not as at first.

const BINS = 40; // of the histogram above the range
const FAILED = 0.65; // an IoU below counts as 0 in the challenge

const form = document.getElementById("controls");
const controls = form.elements;
// Cards are filled only while they are near the window; one that leaves the page is not.
const near = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const place = target.querySelector(".picture");
      const index = Number(target.dataset.index);
      if (!isIntersecting) place.replaceChildren();
      else if (!place.firstChild) place.append(...picture(cases[index], `clip-${index}`));
    }
  },
  { rootMargin: "500px 0px" },
);
const cards = cases.map(makeCard);
let shown = []; // indices into cases, in the order of the page
let range = { start: 0, end: 1, step: 0.01 };

// ---- small tools ----

function scoreOf(item, name) {
  return Object.hasOwn(item.scores, name) ? item.scores[name] : null;
}

function options(select, entries) {
  select.replaceChildren(...entries.map(([value, text]) => element("option", { value }, text)));
}

function counted(values) {
  const counts = new Map();
  for (const value of values) if (value) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

// ---- cards ----

function makeCard(item, index) {
  const button = element(
    "button",
    { type: "button" },
    element("span", { class: "picture" }),
    element("span", { class: "id" }, item.id),
    element("span", { class: "score" }),
  );
  button.addEventListener("click", () => open(index));
  const card = element("li", { "data-index": index }, button);
  near.observe(card);
  return card;
}

function labelCards() {
  const name = controls.sort.value in scores ? controls.sort.value : "dice";
  const label = scores[name]?.label;
  for (const index of shown) {
    const text = label ? `${label} ${written(name, scoreOf(cases[index], name))}` : "";
    const button = cards[index].firstChild;
    if (button.lastChild.textContent === text && button.ariaLabel) continue;
    button.lastChild.textContent = text;
    button.setAttribute("aria-label", `${cases[index].id}, ${text}`);
  }
}

// ---- what is shown ----

function matchesFilters() {
  const part = controls.find.value.trim().toLowerCase();
  const split = controls.split.value;
  const traits = [...document.querySelectorAll("#traits select[data-trait]")]
    .filter((select) => select.value)
    .map((select) => [select.dataset.trait, select.value]);
  return (item) =>
    item.id.toLowerCase().includes(part) &&
    (!split || item.split === split) &&
    traits.every(([trait, value]) => Object.hasOwn(item.traits, trait) && item.traits[trait] === value);
}

// The upper end itself is left out, so that "below 0.65" is what it says, but not at the very end.
function inRange(item) {
  const low = Number(controls.low.value);
  const high = Number(controls.high.value);
  if (low <= range.start && high >= range.end) return true; // also where there is no score
  const value = scoreOf(item, controls.score.value);
  if (value === null) return false;
  return value >= low && (value < high || high >= range.end);
}

function compare(name, order) {
  const sign = order === "down" ? -1 : 1;
  const byId = (a, b) => (cases[a].id < cases[b].id ? -1 : cases[a].id > cases[b].id ? 1 : a - b);
  if (!(name in scores)) return (a, b) => sign * byId(a, b);
  return (a, b) => {
    const [first, second] = [scoreOf(cases[a], name), scoreOf(cases[b], name)];
    if (first === second) return byId(a, b);
    if (first === null || second === null) return first === null ? 1 : -1; // last in both orders
    return sign * (first - second);
  };
}

function update() {
  const matches = matchesFilters();
  const matching = [...cases.keys()].filter((index) => matches(cases[index]));
  drawRange(matching);
  shown = matching.filter((index) => inRange(cases[index]));
  shown.sort(compare(controls.sort.value, controls.order.value));
  labelCards();
  document.getElementById("cards").replaceChildren(...shown.map((index) => cards[index]));
  document.getElementById("empty").hidden = shown.length > 0;
  document.getElementById("count").replaceChildren(...summary());
  keepInAddress();
}

function summary() {
  const counts = [element("strong", {}, String(shown.length)), ` of ${cases.length} images`];
  const dice = shown.map((index) => scoreOf(cases[index], "dice")).filter((v) => v !== null);
  if (!dice.length) return counts;
  const mean = dice.reduce((sum, value) => sum + value, 0) / dice.length;
  const chosenOn = shown.some((index) => cases[index].split === "validation");
  const note = chosenOn ? " (those of validation flatter: choices were made on them)" : "";
  return [...counts, ", mean Dice ", element("strong", {}, mean.toFixed(3)), note];
}

// ---- the range of a score ----

function setRange() {
  const values = cases.map((item) => scoreOf(item, controls.score.value)).filter((v) => v !== null);
  const largest = Math.max(1, ...values);
  const unit = 10 ** Math.floor(Math.log10(largest));
  const end = [1, 2, 5, 10].map((step) => step * unit).find((step) => step >= largest);
  range = { start: Math.min(0, ...values.map(Math.floor)), end, step: end / 100 };
  for (const control of [controls.low, controls.high]) {
    Object.assign(control, { min: range.start, max: range.end, step: range.step });
  }
  controls.low.value = range.start;
  controls.high.value = range.end;
}

function drawRange(matching) {
  const { start, end } = range;
  const [low, high] = [Number(controls.low.value), Number(controls.high.value)];
  const name = controls.score.value;
  const counts = new Array(BINS).fill(0);
  for (const index of matching) {
    const value = scoreOf(cases[index], name);
    if (value === null) continue;
    counts[Math.min(BINS - 1, Math.floor(((value - start) / (end - start)) * BINS + 1e-9))] += 1;
  }
  const most = Math.max(1, ...counts);
  const bars = counts.map((count, bin) => {
    const from = start + ((end - start) * (bin + 0.5)) / BINS;
    const tall = count ? Math.max(4, (100 * count) / most) : 0;
    const where = { x: bin + 0.08, y: 100 - tall, width: 0.84, height: tall };
    return shape("rect", { ...where, class: from >= low && from < high ? "in" : "out" });
  });
  document.getElementById("histogram").replaceChildren(...bars);
  const ends = document.querySelector(".ends");
  controls.low.style.zIndex = low - start > (end - start) / 2 ? 2 : 1; // or both at the end hold
  ends.style.setProperty("--low", (low - start) / (end - start));
  ends.style.setProperty("--high", (high - start) / (end - start));
  const digits = end > 10 ? 0 : 2;
  const below = high < end ? "below " : "";
  document.getElementById("between").value =
    `${low.toFixed(digits)} to ${below}${high.toFixed(digits)}`;
}

// ---- layers over all pictures ----

function drawLayers() {
  setLayers(controls.fade.value, controls.truth.checked, controls.predicted.checked);
}

// ---- the larger view ----

const dialog = document.getElementById("large");
let current = 0; // index into cases

function open(index) {
  show(index);
  dialog.showModal();
  dialog.querySelector("#close").focus();
}

function show(index) {
  current = index;
  const item = cases[index];
  const place = shown.indexOf(index);
  const stage = dialog.querySelector(".stage");
  stage.style.setProperty("--shape", item.width / item.height);
  stage.replaceChildren(...picture(item, "clip-large"));
  dialog.querySelector("#large-id").textContent = item.id;
  dialog.querySelector(".place").textContent = `${place + 1} of ${shown.length} shown`;
  const pairs = (entries) =>
    entries.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
  dialog
    .querySelector(".scores")
    .replaceChildren(
      ...pairs(Object.entries(item.scores).map(([n, v]) => [scores[n].label, written(n, v)])),
    );
  dialog
    .querySelector(".traits")
    .replaceChildren(...pairs([["split", item.split], ...Object.entries(item.traits)]));
  dialog.querySelector("#previous").disabled = place <= 0;
  dialog.querySelector("#next").disabled = place >= shown.length - 1;
}

function walk(steps) {
  const next = shown[shown.indexOf(current) + steps];
  if (next !== undefined) show(next);
}

dialog.addEventListener("keydown", (event) => {
  if (event.target.type === "range") return; // there the arrow keys move the slider
  if (event.key === "ArrowLeft") walk(-1);
  else if (event.key === "ArrowRight") walk(1);
  else return;
  event.preventDefault();
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // beside it
});
dialog.addEventListener("close", () => cards[current].firstChild.focus());
dialog.querySelector("#close").addEventListener("click", () => dialog.close());
dialog.querySelector("#previous").addEventListener("click", () => walk(-1));
dialog.querySelector("#next").addEventListener("click", () => walk(1));
dialog.querySelector(".fade input").addEventListener("input", (event) => {
  controls.fade.value = event.target.value;
  drawLayers();
  keepInAddress();
});

// ---- the address ----

let atFirst = {};

function settings() {
  const named = [...controls].filter((control) => control.name);
  return Object.fromEntries(
    named.map(({ name, type, checked, value }) => [
      name,
      type === "checkbox" ? String(checked) : value,
    ]),
  );
}

let waiting;

function keepInAddress() {
  clearTimeout(waiting); // browsers refuse many changes in a short time
  waiting = setTimeout(() => {
    const changed = Object.entries(settings()).filter(([name, value]) => atFirst[name] !== value);
    const text = new URLSearchParams(changed).toString();
    if (!text && !location.hash.includes("=")) return; // a link to a section
    try {
      history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
    } catch {
      // Inside another page, as in MLflow, there may be no address to keep it in.
    }
  }, 200);
}

function readAddress() {
  if (!location.hash.includes("=")) return;
  const wanted = new URLSearchParams(location.hash.slice(1));
  set("score", wanted.get("score"));
  setRange();
  for (const [name, value] of wanted) if (name !== "score") set(name, value);
}

function set(name, value) {
  const control = controls.namedItem(name);
  if (!control || value === null) return;
  if (control.type === "checkbox") control.checked = value === "true";
  else if (control.type !== "range" || Number.isFinite(parseFloat(value))) control.value = value;
  if (control.tagName === "SELECT" && control.selectedIndex < 0) control.value = atFirst[name];
}

// ---- begin ----

function fillControls() {
  const names = Object.entries(scores).map(([name, { label }]) => [name, label]);
  options(controls.sort, [...names, ["id", "id"]]);
  options(controls.score, names);
  const splits = counted(cases.map((item) => item.split));
  const choices = (counts) => [...counts].map(([value, count]) => [value, `${value} (${count})`]);
  options(controls.split, [["", "all"], ...choices(splits)]);
  if (splits.has("test")) controls.split.value = "test"; // of which the numbers above are
  for (const trait of new Set(cases.flatMap((item) => Object.keys(item.traits)))) {
    const values = cases.map((item) => (Object.hasOwn(item.traits, trait) ? item.traits[trait] : ""));
    const select = element("select", { name: `trait.${trait}`, "data-trait": trait });
    options(select, [["", "all"], ...choices(counted(values))]);
    const title = trait.charAt(0).toUpperCase() + trait.slice(1);
    document.getElementById("traits").append(element("label", { class: "field" }, title, select));
  }
  document.getElementById("failed").hidden = !("iou" in scores);
  document.querySelector(".range").hidden = !names.length;
}

function reset() {
  const { fade, truth, predicted, sort, order } = settings();
  for (const [name, value] of Object.entries({ ...atFirst, fade, truth, predicted, sort, order })) {
    set(name, value);
    if (name === "score") setRange();
  }
  update();
}

form.addEventListener("submit", (event) => event.preventDefault());
for (const kind of ["input", "change"]) {
  form.addEventListener(kind, changed);
  for (const control of document.querySelectorAll(".layers input")) {
    control.addEventListener(kind, changed);
  }
}

function changed({ target }) {
  if (["fade", "truth", "predicted"].includes(target.name)) {
    drawLayers();
    keepInAddress();
    return;
  }
  if (target.name === "score") setRange();
  const [low, high] = [Number(controls.low.value), Number(controls.high.value)];
  if (low > high) target.value = target.name === "low" ? high : low; // they do not cross
  update();
}

document.getElementById("failed").addEventListener("click", () => {
  controls.score.value = "iou";
  setRange();
  controls.high.value = FAILED;
  update();
});
for (const button of document.querySelectorAll(".reset")) button.addEventListener("click", reset);
document.getElementById("group-score")?.addEventListener("change", ({ target }) => {
  for (const panel of document.querySelectorAll(".groups")) {
    panel.hidden = panel.dataset.score !== target.value;
  }
});
addEventListener("hashchange", () => {
  if (!location.hash.includes("=")) return;
  for (const [name, value] of Object.entries(atFirst)) set(name, value);
  readAddress();
  drawLayers();
  update();
});
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details.facts")) details.open = true;
});

document.querySelector(".browser").hidden = false;
document.getElementById("filters").open = matchMedia("(min-width: 60rem)").matches;
const widths = cases.map(({ width, height }) => width / height).sort((a, b) => a - b);
const middle = widths[Math.floor(widths.length / 2)] ?? 1;
document.getElementById("cards").style.setProperty("--shape", Math.min(1.6, Math.max(0.8, middle)));
fillControls();
setRange();
atFirst = settings();
readAddress();
drawLayers();
update();
