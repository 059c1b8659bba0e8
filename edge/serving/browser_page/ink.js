/** Ink, as in edge/data/ink.py, whose comments give the reasons. */

import { pairwiseSum, rounded } from "./numbers.js";
import { LANCZOS, resized } from "./resample.js";

export const DARKEST = 48;
const [LINE_THICK, OF_SIDE, LINE_SHARE, LINE_ENDS] = [[4, 6], 1 / 40, 0.4, 0.15];
const [FRAME_THICK, FRAME_SHARE, FRAME_ENDS, FRAME_NEAR] = [1 / 12, 0.6, 0.03, 0.25];
const [INK_SHARE, STROKE_LEAST] = [20 / 28, 1.5 / 20];
const SLOPE = 11;

/** Return how much each pixel differs from the paper around it, 0 to 255: a Uint8Array. */
export function contrast({ width, height, pixels }, window, dark) {
  const levels = dark ? pixels : pixels.map((value) => 255 - value);
  const paper = closed(levels, width, height, window);
  return levels.map((value, i) => {
    const difference = paper[i] - value;
    return dark ? Math.floor((difference * 255) / Math.max(paper[i], DARKEST)) : difference;
  });
}

/** Return the closing by a square, which may reach beyond the picture. */
function closed(levels, width, height, window) {
  const [across, down] = [width + 2 * window - 2, height + 2 * window - 2];
  const padded = new Uint8Array(across * down);
  for (let y = 0; y < height; y++) {
    padded.set(levels.subarray(y * width, (y + 1) * width), (y + window - 1) * across + window - 1);
  }
  for (const largest of [true, false]) for (const step of [across, 1]) slide(padded, window, step, largest);
  const made = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) made.set(padded.subarray(y * across, y * across + width), y * width);
  return made;
}

/** Replace each value by the extreme of it and those that follow in its row or column, so many in all. */
function slide(values, window, step, largest) {
  for (let width = 1; width < window; ) {
    const further = Math.min(width, window - width);
    for (let i = 0, j = further * step; j < values.length; i++, j++) {
      if (largest ? values[j] > values[i] : values[j] < values[i]) values[i] = values[j];
    }
    width += further;
  }
}

/** Return the places of ink of at least `threshold` that belong to long, straight lines: thin ones, or a cell's frame. */
export function printedLines(ink, width, height, threshold) {
  const side = Math.min(width, height);
  const lines = (...kind) => [
    ...levelLines(ink, width, height, threshold, kind, width, 1),
    ...levelLines(ink, height, width, threshold, kind, 1, width),
  ];
  let [thin, most] = [[], 0];
  for (const thickness of LINE_THICK) {
    most = Math.min(thickness, Math.max(2, Math.floor(side * OF_SIDE)));
    thin = lines(0, most, LINE_SHARE, LINE_ENDS, 0.5);
    if (thin.length > 0) break;
  }
  return [...thin, ...lines(most, Math.floor(side * FRAME_THICK), FRAME_SHARE, FRAME_ENDS, FRAME_NEAR)];
}

/** Lines of a kind along an axis of `length` places, each `along` apart, with `breadth` places across it, each `across` apart. */
function levelLines(ink, length, breadth, threshold, [thinner, thickness, share, shareOfEnds, near], across, along) {
  const runs = [];
  for (let x = 0; x < length; x++) {
    for (let y = 0; y < breadth; y++) {
      const first = y;
      while (y < breadth && ink[y * across + x * along] >= threshold) y++;
      const middle = (first + y) >> 1;
      const isNear = middle < near * breadth || middle >= (1 - near) * breadth;
      if (y - first > thinner && y - first <= thickness && isNear) runs.push({ x, y: middle, first, last: y, line: false });
    }
  }
  const ends = [(x) => true, (x) => x < shareOfEnds * length, (x) => x >= (1 - shareOfEnds) * length];
  for (let slope = -SLOPE; slope <= SLOPE; slope++) {
    const offset = ({ x, y }) => Math.floor((64 * y - slope * x + 32 * length + 32) / 64);
    const [all, begun, ended] = ends.map((within) => {
      const votes = new Int32Array(length + breadth + 2);
      for (const run of runs) if (within(run.x)) votes[offset(run)] += 1;
      return withinOne(votes);
    });
    const lines = withinOne(all.map((count, i) => (count >= share * length && begun[i] > 0 && ended[i] > 0 ? 1 : 0)));
    for (const run of runs) run.line ||= lines[offset(run)] > 0;
  }
  return runs.flatMap(({ x, first, last, line }) => {
    return line ? Array.from({ length: last - first }, (_, i) => (first + i) * across + x * along) : [];
  });
}

/** Add to each number its neighbours. */
const withinOne = (counts) => counts.map((count, i) => count + (counts[i - 1] ?? 0) + (counts[i + 1] ?? 0));

/** Return a digit as in MNIST: its longer side 20 of 28 pixels, centred by its mass, no stroke thinner than most there. */
export function placed(ink, stroke, height, width) {
  const thinner = STROKE_LEAST * Math.max(ink.width, ink.height) - stroke;
  const box = grown(ink, Math.max(0, rounded(thinner / (2 - 2 * STROKE_LEAST))));
  const factor = (Math.min(height, width) * INK_SHARE) / Math.max(box.width, box.height);
  const [across, down] = [box.width, box.height].map((side) => Math.max(1, rounded(side * factor)));
  const small = Float32Array.from(resized(box, across, down, LANCZOS).pixels);
  const stronger = Math.fround(255 / small.reduce((most, value) => Math.max(most, value), 0));
  for (let i = 0; i < small.length; i++) small[i] *= stronger;
  const rows = Array.from({ length: down }, (_, y) => pairwiseSum(small.subarray(y * across, (y + 1) * across), Math.fround));
  const columns = new Float32Array(across);
  for (let i = 0; i < small.length; i++) columns[i % across] += small[i];
  const [top, left] = [centred(rows, height), centred(columns, width)];
  const pixels = new Uint8Array(height * width);
  for (let y = 0; y < down; y++) {
    for (let x = 0; x < across; x++) pixels[(top + y) * width + left + x] = Math.trunc(small[y * across + x]);
  }
  return { width, height, channels: 1, pixels };
}

/** Return ink with so many pixels more on each side of its strokes. */
function grown({ width, height, pixels }, by) {
  const [across, down] = [width + 4 * by, height + 4 * by];
  const padded = new Uint8Array(across * down);
  for (let y = 0; y < height; y++) padded.set(pixels.subarray(y * width, (y + 1) * width), (y + 2 * by) * across + 2 * by);
  for (const step of [across, 1]) slide(padded, 2 * by + 1, step, true);
  const made = { width: width + 2 * by, height: height + 2 * by, channels: 1, pixels: new Uint8Array((width + 2 * by) * (height + 2 * by)) };
  for (let y = 0; y < made.height; y++) made.pixels.set(padded.subarray(y * across, y * across + made.width), y * made.width);
  return made;
}

/** Return the start that puts the centre of mass in the middle, without leaving the picture. */
function centred(weights, length) {
  const moments = Array.from(weights, (weight, i) => weight * i);
  const centre = pairwiseSum(moments, Number) / pairwiseSum(Array.from(weights), Math.fround) + 0.5;
  return Math.min(Math.max(rounded(length / 2 - centre), 0), length - weights.length);
}
