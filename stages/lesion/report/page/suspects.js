// A verdict for each suspect, by keyboard or by buttons, kept in this browser and downloaded as CSV.

const VERDICTS = { k: "keep", x: "leave out", u: "unsure" }; // as in exclusions.py
const KEY = `suspects ${given.key}`;
const controls = document.getElementById("controls").elements;

const verdicts = stored(); // by id
const articles = cases.map(makeArticle);
let current = 0; // index into cases

function stored() {
  try {
    return new Map(JSON.parse(localStorage.getItem(KEY)) ?? []);
  } catch {
    return new Map(); // none, or this browser keeps nothing
  }
}

function store() {
  try {
    localStorage.setItem(KEY, JSON.stringify([...verdicts]));
  } catch {
    // It keeps nothing: verdicts last as long as the page is open.
  }
}

// ---- the list ----

function makeArticle(item, index) {
  const stage = element("div", { class: "stage" });
  stage.style.setProperty("--shape", item.width / item.height);
  stage.append(...picture(item, `clip-${index}`));
  const title = element("h2", { id: `title-${index}` }, `${index + 1}. ${item.id}`);
  const reason = element("p", {}, element("strong", {}, item.traits.difference));
  reason.append(`: ${item.traits.reason}`);
  const numbers = element("dl", {});
  for (const [name, value] of Object.entries(item.scores)) {
    const row = [element("dt", {}, scores[name].label), element("dd", {}, written(name, value))];
    numbers.append(element("div", {}, ...row));
  }
  const buttons = element("div", { class: "verdicts", role: "group", "aria-label": "Verdict" });
  for (const [key, verdict] of Object.entries(VERDICTS)) {
    const mark = element("kbd", { "aria-hidden": "true" }, key);
    const button = element("button", { type: "button", "data-verdict": verdict }, verdict, mark);
    button.setAttribute("aria-keyshortcuts", key);
    button.addEventListener("click", () => {
      if (verdicts.get(item.id) === verdict) verdicts.delete(item.id);
      else verdicts.set(item.id, verdict);
      update();
    });
    buttons.append(button);
  }
  const side = element("div", { class: "side" }, title, reason, numbers, buttons);
  const attributes = { tabindex: "0", "aria-labelledby": `title-${index}` };
  const article = element("article", attributes, stage, side);
  article.addEventListener("focusin", () => (current = index));
  return article;
}

function update() {
  for (const [index, article] of articles.entries()) {
    for (const button of article.querySelectorAll("[data-verdict]")) {
      const pressed = verdicts.get(cases[index].id) === button.dataset.verdict;
      button.setAttribute("aria-pressed", pressed);
    }
  }
  const counts = Object.values(VERDICTS).map((verdict) => {
    const of = [...verdicts.values()].filter((value) => value === verdict).length;
    return `${of} ${verdict}`;
  });
  const judged = element("strong", {}, String(verdicts.size));
  document.getElementById("count").replaceChildren(judged, ` of ${cases.length} judged: ${counts.join(", ")}`);
  document.getElementById("download").disabled = !verdicts.size;
  document.getElementById("clear").disabled = !verdicts.size;
  store();
}

// ---- the keyboard ----

function walk(steps) {
  const next = articles[current + steps];
  if (!next) return;
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "start" });
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "INPUT") return;
  const inList = document.activeElement.closest("#suspects");
  const verdict = VERDICTS[event.key.toLowerCase()];
  if (verdict && cases.length) {
    verdicts.set(cases[current].id, verdict);
    update();
    walk(1);
  } else if (["ArrowRight", "ArrowDown"].includes(event.key)) walk(inList ? 1 : 0);
  else if (["ArrowLeft", "ArrowUp"].includes(event.key)) walk(inList ? -1 : 0);
  else return;
  event.preventDefault();
});

// ---- the file ----

function cell(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function table() {
  const rows = cases
    .filter((item) => verdicts.has(item.id))
    .map(({ id, traits }) => [id, verdicts.get(id), `${traits.difference}: ${traits.reason}`]);
  return [["id", "verdict", "reason"], ...rows].map((row) => `${row.map(cell).join(",")}\n`).join("");
}

document.getElementById("download").addEventListener("click", () => {
  const address = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
  element("a", { href: address, download: "exclude.csv" }).click();
  URL.revokeObjectURL(address);
});

document.getElementById("clear").addEventListener("click", () => {
  if (!confirm(`Forget ${verdicts.size} verdicts?`)) return;
  verdicts.clear();
  update();
});

// ---- begin ----

function drawLayers() {
  setLayers(controls.fade.value, controls.truth.checked, controls.predicted.checked);
}

for (const control of document.querySelectorAll(".layers input")) {
  control.addEventListener("input", drawLayers);
}
document.getElementById("suspects").append(...articles.map((article) => element("li", {}, article)));
drawLayers();
update();
