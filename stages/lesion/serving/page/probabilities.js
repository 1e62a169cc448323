// The map of probabilities that the server sends, and its outline at any threshold.

// Levels of a PNG of 16 bit grey whose rows have no filter, as answers.py writes it.
async function decoded(png) {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  const parts = [];
  for (let at = 8; at < bytes.length; at += view.getUint32(at) + 12) {
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (kind === "IDAT") parts.push(bytes.subarray(at + 8, at + 8 + view.getUint32(at)));
  }
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const rows = new DataView(await new Response(stream).arrayBuffer());
  const values = new Float32Array(width * height);
  for (let y = 0; y < height; y += 1) {
    const start = y * (2 * width + 1) + 1; // behind the number of the row's filter
    for (let x = 0; x < width; x += 1) values[y * width + x] = rows.getUint16(start + 2 * x) / 65535;
  }
  return { width, height, values };
}

const FINEST = 640; // values along the longer side of a map that is enlarged to find its outline

// The map: `values` calibrated, as they are shown; `plain` before calibration, where a threshold
// applies; `box` is the part of the photograph that it shows, in pixels.
export async function probabilityMap({ png, ...box }, temperature) {
  const map = await decoded(png);
  const plain = map.values.map((value) => {
    const logit = Math.log(value / (1 - value)) * temperature;
    return 1 / (1 + Math.exp(-logit));
  });
  return { ...map, plain, box };
}

// Values that lie between those of the map in straight lines, as the server enlarges it.
function enlarged({ width, height, plain, box }) {
  const scale = Math.min(1, FINEST / Math.max(box.width, box.height));
  const [wide, high] = [box.width, box.height].map((length) => Math.max(1, Math.round(length * scale)));
  const ways = (from, to) =>
    Array.from({ length: to }, (_, at) => {
      const place = Math.min(from - 1, Math.max(0, ((at + 0.5) * from) / to - 0.5));
      const first = Math.floor(place);
      return [first, Math.min(from - 1, first + 1), place - first];
    });
  const columns = ways(width, wide);
  const values = new Float32Array(wide * high);
  ways(height, high).forEach(([above, below, down], y) => {
    columns.forEach(([left, right, across], x) => {
      const [a, b, c, d] = [above, below].flatMap((row) => [left, right].map((column) => plain[row * width + column]));
      values[y * wide + x] = (1 - down) * (a + across * (b - a)) + down * (c + across * (d - c));
    });
  });
  return { width: wide, height: high, values };
}

let last = {}; // the map whose outline was asked for last, and the same enlarged

// Marching squares: by which of four neighbours are lesion (upper left 1, upper right 2, lower right
// 4, lower left 8), the edges between which the outline goes, with the lesion on its left.
const [TOP, RIGHT, BOTTOM, LEFT] = [0, 1, 2, 3];
const WAYS = [
  [],
  [[LEFT, TOP]],
  [[TOP, RIGHT]],
  [[LEFT, RIGHT]],
  [[RIGHT, BOTTOM]],
  [[RIGHT, TOP], [LEFT, BOTTOM]],
  [[TOP, BOTTOM]],
  [[LEFT, BOTTOM]],
  [[BOTTOM, LEFT]],
  [[BOTTOM, TOP]],
  [[TOP, LEFT], [BOTTOM, RIGHT]],
  [[BOTTOM, RIGHT]],
  [[RIGHT, LEFT]],
  [[RIGHT, TOP]],
  [[TOP, LEFT]],
  [],
];

// Polygons [[[x, y], …], …] in pixels of the photograph around what has `level`, before
// calibration, or more; by the model's rules.
export function outlineAt(map, level, { largest_component, fill_holes }) {
  if (last.map !== map) last = { map, fine: enlarged(map) };
  const { width, height, values } = last.fine;
  const row = width + 2; // with a border of skin
  const grid = new Float32Array(row * (height + 2));
  for (let y = 0; y < height; y += 1) {
    grid.set(values.subarray(y * width, (y + 1) * width), (y + 1) * row + 1);
  }
  if (largest_component) keepLargest(grid, row, level);
  if (fill_holes) fillHoles(grid, row, level);

  // Edges are numbered by the value at their left or upper end: 2n to the right, 2n + 1 down.
  const edge = (at, side) =>
    [2 * at, 2 * (at + 1) + 1, 2 * (at + row), 2 * at + 1][side];
  const next = new Map();
  for (let at = 0; at < grid.length - row - 1; at += 1) {
    const kind =
      (grid[at] >= level) |
      ((grid[at + 1] >= level) << 1) |
      ((grid[at + row + 1] >= level) << 2) |
      ((grid[at + row] >= level) << 3);
    if (kind === 0 || kind === 15) continue;
    for (const [from, to] of WAYS[kind]) next.set(edge(at, from), edge(at, to));
  }

  const { box } = map;
  const inside = (value, end) => Math.min(end, Math.max(0, value));
  const crossing = (number) => {
    const at = number >> 1;
    const other = at + (number & 1 ? row : 1);
    const share = (level - grid[at]) / (grid[other] - grid[at]);
    const x = (at % row) - 0.5 + (number & 1 ? 0 : share);
    const y = Math.floor(at / row) - 0.5 + (number & 1 ? share : 0);
    return [
      box.left + (inside(x, width) * box.width) / width,
      box.top + (inside(y, height) * box.height) / height,
    ];
  };
  const rings = [];
  for (const first of next.keys()) {
    const ring = [];
    for (let at = first; next.has(at); ) {
      const to = next.get(at);
      next.delete(at);
      ring.push(crossing(at));
      at = to;
    }
    rings.push(ring);
  }
  return rings;
}

// Those that can be reached from `first` through values for which `counts`, by `steps`.
function reached(grid, first, steps, counts, seen) {
  const found = [first];
  seen[first] = 1;
  for (let done = 0; done < found.length; done += 1) {
    for (const step of steps) {
      const at = found[done] + step;
      if (at < 0 || at >= grid.length || seen[at] || !counts(grid[at])) continue;
      seen[at] = 1;
      found.push(at);
    }
  }
  return found;
}

// All but the largest part becomes skin; parts hang together by edges or corners.
function keepLargest(grid, row, level) {
  const steps = [-row - 1, -row, -row + 1, -1, 1, row - 1, row, row + 1];
  const seen = new Uint8Array(grid.length);
  let largest = [];
  for (let at = 0; at < grid.length; at += 1) {
    if (seen[at] || grid[at] < level) continue;
    const part = reached(grid, at, steps, (value) => value >= level, seen);
    const less = part.length > largest.length ? largest : part;
    if (less !== part) largest = part;
    for (const place of less) grid[place] = 0;
  }
}

// Skin that does not reach the edge, by edges, becomes lesion.
function fillHoles(grid, row, level) {
  const outside = new Uint8Array(grid.length);
  reached(grid, 0, [-row, -1, 1, row], (value) => value < level, outside);
  for (let at = 0; at < grid.length; at += 1) if (!outside[at] && grid[at] < level) grid[at] = 1;
}

// Inferno, as in matplotlib, at equal steps.
const COLOURS = [
  [0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85],
  [227, 89, 51], [249, 140, 10], [249, 201, 50], [252, 255, 164],
];

// Draws the map into a canvas, a pixel for each value.
export function drawHeat(canvas, { width, height, values }) {
  Object.assign(canvas, { width, height });
  const image = new ImageData(width, height);
  values.forEach((value, at) => {
    const place = value * (COLOURS.length - 1);
    const low = Math.min(COLOURS.length - 2, Math.floor(place));
    for (let i = 0; i < 3; i += 1) {
      const [a, b] = [COLOURS[low][i], COLOURS[low + 1][i]];
      image.data[4 * at + i] = a + (place - low) * (b - a);
    }
    image.data[4 * at + 3] = 255;
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}
