// What can be taken away: a picture with the outline, and a table of all photographs.

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// A file's name without its ending.
export function stem(name) {
  return name.replace(/\.[^.]*$/, "") || name;
}

const LONGEST = 4096; // pixels of an overlay's longer side: more a browser may refuse to draw

// PNG of an image, upright as it is shown, with the outline of `rings` over it.
export async function overlay(image, { width, height }, rings) {
  const scale = Math.min(1, LONGEST / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  context.scale(scale, scale);
  context.lineJoin = "round";
  const path = new Path2D(pathOf(rings));
  const line = Math.max(2, Math.max(width, height) / 400);
  for (const [colour, wide] of [["#0008", 2 * line], ["#f0e442", line]]) {
    context.strokeStyle = colour;
    context.lineWidth = wide;
    context.stroke(path);
  }
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

// SVG's way of writing polygons.
export function pathOf(rings) {
  return rings.map((ring) => `M${ring.map(([x, y]) => `${+x.toFixed(2)} ${+y.toFixed(2)}`).join("L")}Z`).join("");
}

// CSV, with a header, of rows that have the same keys.
export function table(rows) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const names = Object.keys(rows[0]);
  const lines = [names, ...rows.map((row) => names.map((name) => row[name]))];
  return lines.map((line) => `${line.map(cell).join(",")}\n`).join("");
}
