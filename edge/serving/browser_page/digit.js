/** Turns a drawn digit into the image for a model of MNIST, as edge/data/digit.py does, whose comments give the reasons. */

import { fittedPlane, median, pairwiseSum, rounded } from "./numbers.js";
import { LANCZOS, resized, thumbnail, turned } from "./resample.js";

const INK_SHARE = 20 / 28;
const INK_LEAST = 0.25;
const INK_MOST = 0.5;
const CONTRAST_LEAST = 16;
const [CLEARLY_MORE, SPECKS] = [1.5, 0.005];
const [SHEET_FILLS, SHEET_ASPECT, SHEET_BLANK] = [0.85, 0.4, 0.6];

/** What is wrong with a picture, for people. */
export class PictureError extends Error {}

/**
 * Return the ink of a grey picture: light on black, its longer side 20 of 28 pixels, centred by its mass.
 *
 * @param {{width: number, height: number, pixels: Uint8Array}} grey
 * @param {(doubt: string) => void} onDoubt Gets a sentence if light and dark may have been mistaken for each other.
 */
export function fittedDigit(grey, height, width, name, onDoubt) {
  const picture = thumbnail(grey, 8 * width, 8 * height);
  const ink = inkOf(picture, name, onDoubt);
  const box = boxOf(ink, picture.width, picture.height);
  const factor = (Math.min(height, width) * INK_SHARE) / Math.max(box.width, box.height);
  const [across, down] = [box.width, box.height].map((side) => Math.max(1, rounded(side * factor)));
  const small = Float32Array.from(resized(box, across, down, LANCZOS).pixels);
  const stronger = Math.fround(255 / largest(small));
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

const largest = (values) => values.reduce((most, value) => Math.max(most, value), 0);

/** Return the strength of the ink at each pixel, 0 to 255. */
function inkOf({ width, height, pixels }, name, onDoubt) {
  const [lighter, darker] = sides(pixels, width, height);
  const ground = largest(lighter) >= largest(darker) ? "dark" : "light";
  const [ink, other] = ground === "dark" ? [lighter, darker] : [darker, lighter];
  const strongest = largest(ink);
  if (strongest < CONTRAST_LEAST) throw new PictureError(`${name} shows nothing on its background: bring a picture with a digit.`);
  const limit = Math.fround(strongest / CLEARLY_MORE);
  const unclear = other.filter((value) => value > limit).length / other.length > SPECKS;
  const strong = strongInk(ink, strongest);
  if (strong.filter((value) => value !== 0).length > INK_MOST * strong.length) {
    throw new PictureError(`${name} has no even background behind the ink: crop it to one digit on plain paper.`);
  }
  if (isSheet(strong, width, height)) {
    const shade = ground === "dark" ? "light" : "dark";
    onDoubt(`${name} may be a ${shade} sheet on a ${ground} table, and was read as one large stroke`);
  } else if (unclear) {
    onDoubt(`${name} has strokes lighter than its border and darker ones, and was read as on a ${ground} background`);
  }
  return strong;
}

function strongInk(ink, strongest) {
  const factor = Math.fround(255 / strongest);
  return ink.map((value) => {
    const scaled = Math.fround(value * factor);
    return scaled < 255 * INK_LEAST ? 0 : scaled;
  });
}

/** Return how much lighter and darker each pixel is than the paper, which is a plane: a lamp may light one side. */
function sides(grey, width, height) {
  const longer = Math.max(width, height);
  const points = borderOf(width, height).map(([x, y]) => [x / longer, y / longer, grey[y * width + x]]);
  let plane = fittedPlane(points);
  const off = points.map(([x, y, value]) => Math.abs(value - plane[0] - plane[1] * x - plane[2] * y));
  const limit = 2 * Math.max(1, median(off));
  // Once more without outliers: a stroke that crosses the border is not paper.
  plane = fittedPlane(points.filter((_, i) => off[i] <= limit));
  const [lighter, darker] = [new Float32Array(grey.length), new Float32Array(grey.length)];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const contrast = grey[i] - (plane[0] + (plane[1] * x) / longer + (plane[2] * y) / longer);
      (contrast > 0 ? lighter : darker)[i] = Math.abs(contrast);
    }
  }
  return [lighter, darker];
}

/** Return the places of the outermost pixels, each once. */
function borderOf(width, height) {
  const places = [];
  for (let y = 0; y < height; y++) {
    const step = y === 0 || y === height - 1 ? 1 : Math.max(1, width - 1);
    for (let x = 0; x < width; x += step) places.push([x, y]);
  }
  return places;
}

/** Return the part of the picture that has ink. */
function boxOf(ink, width, height) {
  let [left, right, top, bottom] = [width, 0, height, 0];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (ink[i] === 0) continue;
      [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
    }
  }
  const across = right - left;
  const pixels = Uint8Array.from({ length: across * (bottom - top) }, (_, i) => {
    return Math.trunc(ink[(top + Math.floor(i / across)) * width + left + (i % across)]);
  });
  return { width: across, height: bottom - top, channels: 1, pixels };
}

/** Return the start that puts the centre of mass in the middle, without leaving the picture. */
function centred(weights, length) {
  const moments = Array.from(weights, (weight, i) => weight * i);
  const centre = pairwiseSum(moments, Number) / pairwiseSum(Array.from(weights), Math.fround) + 0.5;
  return Math.min(Math.max(rounded(length / 2 - centre), 0), length - weights.length);
}

/** Return whether the apparent ink is a sheet of paper with something written on it. */
function isSheet(ink, width, height) {
  const full = Uint8Array.from(ink, (value) => (value >= 128 ? 1 : 0));
  const columns = spans(turned({ width, height, channels: 1, pixels: full }));
  const ends = [];
  let area = 0;
  spans({ width, height, pixels: full }).forEach(([first, last], y) => {
    let [left, right] = [-1, -1];
    for (let x = Math.max(0, first); x <= last; x++) {
      if (y < columns[x][0] || y > columns[x][1]) continue;
      left = left < 0 ? x : left;
      right = x;
      area += 1;
    }
    if (left >= 0) ends.push([left, y], [right, y]);
  });
  if (area === 0) return false;
  const [short, long] = tightest(ends);
  const blank = full.reduce((sum, value) => sum + value, 0) / area;
  return area / (short * long) >= SHEET_FILLS && short / long >= SHEET_ASPECT && blank >= SHEET_BLANK;
}

/** Return the first and the last place of each row that is not 0; -1 for none. */
function spans({ width, height, pixels }) {
  return Array.from({ length: height }, (_, y) => {
    const row = pixels.subarray(y * width, (y + 1) * width);
    return [row.indexOf(1), row.lastIndexOf(1)];
  });
}

/** Return the sides of the smallest of 30 turned boxes around points, the shorter first. */
function tightest(points) {
  let best = null;
  for (let degrees = 0; degrees < 90; degrees += 3) {
    const [cos, sin] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
    const extent = (place) => Math.max(...points.map(place)) - Math.min(...points.map(place)) + 1;
    const box = [extent(([x, y]) => x * cos + y * sin), extent(([x, y]) => y * cos - x * sin)];
    if (!best || box[0] * box[1] < best[0] * best[1]) best = box;
  }
  return best.sort((a, b) => a - b);
}
