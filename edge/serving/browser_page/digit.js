/** Turns a photo of a digit into the image for a model of MNIST, as edge/data/digit.py does, whose comments give the reasons. */

import { connectedParts } from "./components.js";
import { contrast, DARKEST, placed, printedLines } from "./ink.js";
import { median } from "./numbers.js";
import { thumbnail } from "./resample.js";

const TIMES = 12;
const [WINDOWS, LEVELS] = [[0.08, 0.18, 0.45], [0.3, 0.55]];
const NARROWEST = 9;
const [CONTRAST_LEAST, TIMES_NOISE] = [12, 3];
const [WEAKER, THICKER, LONGER, WEAKER_EDGED] = [0.35, 1.8, 3, 0.9];
const LOOKED_AT = 3;
const [EXTENT_LEAST, AREA_LEAST] = [0.06, 12];
const [THICK, FULL] = [[0.19, 0.06], [0.5, 0.15]];
const TOUCHING = 0.1;
const [SHEET_FILLS, SHEET_ASPECT, SHEET_BLANK] = [0.85, 0.4, 0.6];
const [EDGE_SHARE, EDGE_LEAST, EDGE_MOST] = [16, 3, 8];
const [NEAR, PIECE, PIECE_THICK] = [1 / 6, [0.2, 1.2], [0.4, 1.6]];
const UNSURE = 0.9;
const [SMALL, FAINT, BLURRED, ALSO] = [0.1, 32, 0.75, 0.55];
// Nearer to the border than this share of the shorter side, ink fades into what is taken for the paper there.
const BORDER = 0.02;
// Ink that leads from a digit to the border: how near, how dark, how wide there in widths of a stroke.
const [BEYOND, AS_DARK, AS_WIDE] = [0.5, 0.15, [0.75, 8]];
// Of a digit in pieces, one that the border cuts is this near, as thick as this, and not longer than a separate stroke.
const [REST_NEAR, REST_THICK] = [0.25, [0.6, 1.6]];
const [LIKELY, OTHER_SIDE] = [0.5, 0.15];
const [RING, RING_EDGED] = [0.4, 0.88];

/** What is wrong with a picture, for people. */
export class PictureError extends Error {}

/**
 * Return the digit of a grey picture: light on black, its longer side 20 of 28 pixels, centred by its mass.
 *
 * @param {{width: number, height: number, pixels: Uint8Array}} grey
 * @param {{doubt: (text: string) => void, box: (box: number[]) => void}} told `doubt` gets a sentence if something else may have
 *   been read than was meant, `box` the digit's left, top, right and bottom as shares of the picture.
 */
export function fittedDigit(grey, height, width, name, told) {
  const picture = thumbnail(grey, TIMES * width, TIMES * height);
  const digit = digitOf(picture, name, told.doubt);
  const strokes = strokesOf(digit);
  const chosen = digit.parts.filter((_, i) => strokes[i]);
  const [top, left] = [Math.min(...chosen.map((part) => part.top)), Math.min(...chosen.map((part) => part.left))];
  const [bottom, right] = [Math.max(...chosen.map((part) => part.bottom)), Math.max(...chosen.map((part) => part.right))];
  const doubt = doubtOf(digit, strokes, { top, left, bottom, right }, picture);
  if (doubt) told.doubt(`${name} ${doubt}`);
  told.box([left / picture.width, top / picture.height, right / picture.width, bottom / picture.height]);
  const across = right - left;
  const pixels = Uint8Array.from({ length: across * (bottom - top) }, (_, i) => {
    const at = (top + Math.floor(i / across)) * picture.width + left + (i % across);
    return strokes[digit.labels[at]] ? Math.min(255, Math.floor((digit.ink[at] * 255) / digit.strength)) : 0;
  });
  const box = { width: across, height: bottom - top, channels: 1, pixels };
  return placed(box, thicknessOf(digit.part), height, width);
}

/** Return a doubt if the most probable class of a fitted digit has a low probability, else null. */
export const unsure = (name, probability) =>
  probability >= UNSURE ? null : `${name} is not clearly one digit: look at what was taken, or take it again`;

/** Return whether what looks most like a digit is paper that another's strokes enclose, or the other way round. */
function encloses(other, best) {
  const [a, b] = [best.part, other.part];
  const around = b.top < a.top && b.left < a.left && b.bottom > a.bottom && b.right > a.right;
  return other.dark !== best.dark && around && other.score >= RING * best.score && other.edged >= RING_EDGED;
}

/** Return what looks most like a digit, and doubt whether it is if something else looks nearly as much like one. */
function digitOf(picture, name, onDoubt) {
  const inks = [true, false].flatMap((dark) => inksOf(picture, dark));
  const range = picture.pixels.reduce((most, value) => Math.max(most, value), 0) - picture.pixels.reduce((least, value) => Math.min(least, value), 255);
  if (inks.length === 0 && range < CONTRAST_LEAST) {
    throw new PictureError(`${name} shows nothing on its background: bring a picture with a digit.`);
  }
  const found = inks.flatMap((ink) => digitsOf(picture, ink)).sort((a, b) => b.score - a.score);
  while (found.length > 0 && isSheet(found[0], picture.width)) found.shift();
  if (found.length === 0) {
    throw new PictureError(`${name} has no ink on even paper that is large enough for a digit: crop it to one digit on plain paper.`);
  }
  const best = found.find((other) => encloses(other, found[0]) && !isSheet(other, picture.width)) ?? found[0];
  const share = (other) => {
    if (other.dark === best.dark) return overlap(best.part, other.part) ? 1 : LIKELY;
    return overlap(best.part, other.part) ? LIKELY : OTHER_SIDE;
  };
  const nearly = found.find((other) => other.score > share(other) * best.score);
  if (nearly && nearly.dark !== best.dark) {
    const background = best.dark ? "light" : "dark";
    onDoubt(
      `${name} has strokes lighter than its paper and darker ones, and was read as on a ${background} background: ` +
        "crop it to one digit on plain paper",
    );
  } else if (nearly) onDoubt(`${name} shows two things that may be the digit: crop it to one digit`);
  return whole(best, picture);
}

/** Return a digit with its weak strokes. */
function whole(digit, picture) {
  const { width, height } = picture;
  const weakest = Math.max(digit.faintest, Math.trunc(WEAKER * digit.strength));
  const { labels, parts } = connectedParts(digit.ink, width, height, weakest);
  const place = labels.reduce((least, label, at) => (digit.labels[at] === digit.place && label >= 0 ? Math.min(least, label) : least), Infinity);
  const [part, strong] = [parts[place], digit.part];
  if (!part || !isInside(part, width, height) || part.area < strong.area) return digit;
  if (thicknessOf(part) > THICKER * thicknessOf(strong) || extentOf(part) > LONGER * extentOf(strong)) return digit;
  const grown = { ...digit, labels, parts, place, part };
  return edgedShare(picture, grown, windowOf(part, picture), weakest) < WEAKER_EDGED ? digit : grown;
}

/** Return {dark, ink, faintest} for each window: what stands out from the paper. */
function inksOf(picture, dark) {
  const { width, height } = picture;
  let lines = null;
  const found = [];
  for (const share of WINDOWS) {
    const ink = contrast(picture, Math.max(NARROWEST, Math.trunc(share * Math.min(width, height))), dark);
    const noise = levelAbove(histogram(ink), ink.length >> 1);
    const faintest = Math.max(CONTRAST_LEAST, TIMES_NOISE * noise);
    lines ??= printedLines(ink, width, height, faintest);
    for (const at of lines) ink[at] = 0;
    if (ink.some((value) => value >= faintest)) found.push({ dark, ink, faintest });
  }
  return found;
}

/** Return the parts of ink that look most like a digit. */
function digitsOf(picture, { dark, ink, faintest }) {
  const { width, height } = picture;
  const most = 255 - levelAbove(histogram(ink).reverse(), Math.max(1, Math.floor(ink.length / 1000)));
  const thresholds = [...new Set(LEVELS.map((level) => Math.max(faintest, Math.trunc(most * level))))].sort((a, b) => a - b);
  return thresholds.flatMap((threshold) => {
    const { labels, parts } = connectedParts(ink, width, height, threshold);
    const order = parts.map((part, place) => ({ place, score: scoreOf(part, width, height) })).filter(({ score }) => score > 0);
    order.sort((a, b) => b.score - a.score);
    return order.slice(0, LOOKED_AT).flatMap(({ place, score }) => lookedAt(picture, { dark, ink, faintest, labels, parts, place, score }));
  });
}

/** Return how much a part looks like a digit by its own pixels. */
function scoreOf(part, width, height) {
  const { area, mass } = part;
  const possible = extentOf(part) >= EXTENT_LEAST * Math.min(width, height) && area >= AREA_LEAST;
  if (!possible || spans(part, width, height)) return 0;
  const mean = mass / area;
  const falls = (share, [most, span]) => Math.min(Math.max((most + span - share) / span, 0.02), 1);
  const extent = extentOf(part);
  const strokes = falls(thicknessOf(part) / extent, THICK) * falls(area / (extent * extent), FULL);
  return Math.sqrt(mass) * mean * Math.sqrt(mean) * strokes * (isInside(part, width, height) ? 1 : TOUCHING);
}

/** Return a part if the paper around it is of the other side of grey, with its score for evenness and a pen's edges; else none. */
function lookedAt(picture, found) {
  const { width, pixels } = picture;
  const { dark, ink, labels, parts, place } = found;
  const part = parts[place];
  const window = windowOf(part, picture);
  const { top, bottom, left, right } = window;
  const [contrasts, inside, outside] = [[], [], []];
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const at = y * width + x;
      if (labels[at] === place) contrasts.push(ink[at]);
      (labels[at] === place ? inside : outside).push(pixels[at]);
    }
  }
  const [written, paper] = [median(inside), median(outside)];
  if (paper === written || paper < written === dark) return [];
  contrasts.sort((a, b) => a - b);
  const strength = contrasts[Math.floor((contrasts.length * 9) / 10)];
  const even = contrasts.filter((value) => 2 * value >= strength).length / contrasts.length;
  const edged = edgedShare(picture, found, window, strength);
  const middle = (written + paper) / 2;
  const alike = outside.filter((value) => (dark ? value < middle : value > middle)).length / outside.length;
  const trusted = even * (edged * edged * edged) * (1 - alike);
  return [{ ...found, score: found.score * trusted * trusted, part, strength, edged }];
}

/** Return the box of a part and the paper around it. */
function windowOf(part, { width, height }) {
  const around = Math.max(EDGE_MOST + 1, Math.trunc(0.4 * extentOf(part)));
  const [top, bottom] = [Math.max(0, part.top - around), Math.min(height, part.bottom + around)];
  return { top, bottom, left: Math.max(0, part.left - around), right: Math.min(width, part.right + around) };
}

/** Return on which share of a part's outline the picture itself steps from ink to paper. */
function edgedShare({ width, pixels }, { dark, labels, parts, place }, { top, bottom, left, right }, strength) {
  const reach = Math.min(EDGE_MOST, Math.max(EDGE_LEAST, Math.floor(extentOf(parts[place]) / EDGE_SHARE)));
  const darkest = dark ? DARKEST : 255;
  const tone = (at) => (dark ? pixels[at] : 255 - pixels[at]);
  let [edges, steps] = [0, 0];
  for (const [toRight, down] of [[1, 0], [0, 1], [-1, 0], [0, -1]]) {
    const step = down * width + toRight;
    const fits = (x, y) => x >= left && x < right && y >= top && y < bottom;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const at = y * width + x;
        if (labels[at] !== place || labels[at + step] === place) continue;
        if (!fits(x - toRight, y - down) || !fits(x + reach * toRight, y + reach * down) || labels[at + reach * step] === place) continue;
        const [ink, paper] = [Math.min(tone(at), tone(at - step)), tone(at + reach * step)];
        edges += 1;
        if (2 * 255 * (paper - ink) >= strength * Math.max(paper, darkest)) steps += 1;
      }
    }
  }
  return steps / Math.max(1, edges);
}

const extentOf = ({ top, bottom, left, right }) => Math.max(bottom - top, right - left);
const thicknessOf = ({ area, perimeter }) => (2 * area) / perimeter;
// Printed lines and a table reach from one border to the opposite one.
const spans = ({ top, bottom, left, right }, width, height) => bottom - top === height || right - left === width;
const isInside = ({ top, bottom, left, right }, width, height) => top > 0 && left > 0 && bottom < height && right < width;

/** Return whether a part is a sheet of paper with something written on it. */
function isSheet({ labels, part, place }, across) {
  const [width, height] = [part.right - part.left, part.bottom - part.top];
  const at = (x, y) => labels[(part.top + y) * across + part.left + x] === place;
  const rows = setEnds(height, width, (y, x) => at(x, y));
  const columns = setEnds(width, height, at);
  const ends = [];
  let area = 0;
  rows.forEach(([first, last], y) => {
    let [left, right] = [-1, -1];
    for (let x = Math.max(0, first); x <= last; x++) {
      if (y < columns[x][0] || y > columns[x][1]) continue;
      left = left < 0 ? x : left;
      right = x;
      area += 1;
    }
    if (left >= 0) ends.push([left, y], [right, y]);
  });
  const [short, long] = tightest(ends);
  return area / (short * long) >= SHEET_FILLS && short / long >= SHEET_ASPECT && part.area / area >= SHEET_BLANK;
}

/** Return the first and the last place of each line that is set. */
function setEnds(lines, length, isSet) {
  return Array.from({ length: lines }, (_, line) => {
    let [first, last] = [-1, -1];
    for (let place = 0; place < length; place++) {
      if (!isSet(line, place)) continue;
      first = first < 0 ? place : first;
      last = place;
    }
    return [first, last];
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

const overlap = (a, b) =>
  Math.min(a.bottom, b.bottom) > Math.max(a.top, b.top) && Math.min(a.right, b.right) > Math.max(a.left, b.left);

/** Return for each part whether it belongs to the digit. */
function strokesOf({ parts, place }) {
  const digit = parts[place];
  const extent = extentOf(digit);
  return parts.map((part, i) => {
    const thickness = thicknessOf(part) / thicknessOf(digit);
    const long = extentOf(part) >= PIECE[0] * extent && extentOf(part) <= PIECE[1] * extent;
    return i === place || (isNear(part, digit, NEAR) && long && thickness > PIECE_THICK[0] && thickness < PIECE_THICK[1]);
  });
}

/** Return whether a part is this near to the digit, as a share of its longer side. */
function isNear(part, digit, share) {
  const down = Math.max(part.top - digit.bottom, digit.top - part.bottom);
  const across = Math.max(part.left - digit.right, digit.left - part.right);
  return Math.max(down, across) <= Math.max(2, extentOf(digit) * share);
}

/** Return what is wrong with a digit, and what to do; null if nothing is. */
function doubtOf(digit, strokes, box, picture) {
  const { width, height } = picture;
  const toBorder = Math.min(box.top, box.left, height - box.bottom, width - box.right);
  const rest = digit.parts.some((part) => {
    const thickness = thicknessOf(part) / thicknessOf(digit.part);
    const isCut = !isInside(part, width, height) && !spans(part, width, height);
    const isRest = isCut && isNear(part, digit.part, REST_NEAR) && extentOf(part) <= PIECE[1] * extentOf(digit.part);
    return isRest && thickness > REST_THICK[0] && thickness < REST_THICK[1];
  });
  if (toBorder <= BORDER * Math.min(width, height) || rest || goesOnToBorder(digit, picture)) {
    return "shows a digit that touches its border: take a picture of the whole digit";
  }
  const also = digit.parts.some((part, i) => {
    const thickness = thicknessOf(part) / thicknessOf(digit.part);
    return !strokes[i] && isInside(part, width, height) && extentOf(part) >= ALSO * extentOf(box) && thickness > 0.4 && thickness < 2.5;
  });
  if (also) return "shows several digits, and one was read: crop it to one digit";
  if (digit.edged < BLURRED) return "is blurred, or a shadow lies over the digit: take it again, in even light";
  if (digit.strength < FAINT) return "shows a faint digit: use a darker pen or more light";
  if (extentOf(box) < SMALL * Math.min(width, height)) return "shows a small digit: go nearer, or crop the picture to it";
  return null;
}

/** Return whether ink as dark as the digit's leads from it to the border, and is as wide there as its strokes. */
function goesOnToBorder({ dark, labels, part, place }, { width, height, pixels }) {
  const around = Math.trunc(BEYOND * extentOf(part));
  const [top, bottom] = [Math.max(0, part.top - around), Math.min(height, part.bottom + around)];
  const [left, right] = [Math.max(0, part.left - around), Math.min(width, part.right + around)];
  const [across, down] = [right - left, bottom - top];
  const places = Array.from({ length: across * down }, (_, i) => (top + Math.floor(i / across)) * width + left + (i % across));
  const tones = places.map((at) => (dark ? pixels[at] : 255 - pixels[at]));
  const isPart = places.map((at) => labels[at] === place);
  const [written, paper] = [median(tones.filter((_, i) => isPart[i])), median(tones.filter((_, i) => !isPart[i]))];
  const ink = Uint8Array.from(tones, (tone) => (tone < written + AS_DARK * (paper - written) ? 1 : 0));
  for (const at of printedLines(ink, across, down, 1)) ink[at] = 0;
  const { labels: joined, parts } = connectedParts(ink, across, down, 1);
  const digits = new Set(joined.filter((label, i) => ink[i] && isPart[i] && !spans(parts[label], across, down)));
  const widthAt = (isEdge) => ink.reduce((sum, is, i) => sum + (is && digits.has(joined[i]) && isEdge(i) ? 1 : 0), 0);
  const widths = [
    top === 0 ? widthAt((i) => i < across) : 0,
    left === 0 ? widthAt((i) => i % across === 0) : 0,
    bottom === height ? widthAt((i) => i >= across * (down - 1)) : 0,
    right === width ? widthAt((i) => i % across === across - 1) : 0,
  ].map((pixelsThere) => pixelsThere / thicknessOf(part));
  return widths.some((share) => share > AS_WIDE[0] && share < AS_WIDE[1]);
}

function histogram(values) {
  const counts = new Array(256).fill(0);
  for (const value of values) counts[value] += 1;
  return counts;
}

/** Return the first place where so many are counted. */
function levelAbove(counts, wanted) {
  let sum = 0;
  return counts.findIndex((count) => (sum += count) >= wanted);
}
