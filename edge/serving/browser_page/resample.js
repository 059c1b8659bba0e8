/**
 * Other sizes of a picture, as Pillow 13 computes them: fixed-point arithmetic, so that every pixel is the same.
 *
 * A picture is {width, height, channels, pixels}, its pixels a Uint8Array, rows first.
 */

import { rounded } from "./numbers.js";

const PRECISION_BITS = 22;
/** How many times a picture may be larger after `reduced` than what is wanted. */
const REDUCING_GAP = 2;

export const LANCZOS = { support: 3, at: (x) => (-3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0) };
export const BOX = { support: 0.5, at: (x) => (-0.5 < x && x <= 0.5 ? 1 : 0) };

function sinc(x) {
  if (x === 0) return 1;
  const angle = x * Math.PI;
  return Math.sin(angle) / angle;
}

/** Return the part `box` (left, top, right, bottom; not always whole pixels) of a picture in another size. */
export function resized(picture, width, height, filter, box = [0, 0, picture.width, picture.height]) {
  const across = width !== picture.width || box[0] !== 0 || box[2] !== width;
  const down = height !== picture.height || box[1] !== 0 || box[3] !== height;
  const [left, top, right, bottom] = box.map(Math.fround);
  const wide = (of) => (across ? resizedRows(of, width, weights(picture.width, left, right, width, filter)) : of);
  const high = (of) => (down ? turned(resizedRows(turned(of), height, weights(picture.height, top, bottom, height, filter))) : of);
  // Pillow begins with the rows where that saves work; 8 bits between the two steps make the order matter.
  const lost = picture.height - height;
  return lost > 0 && lost > 2 * (picture.width - width) ? wide(high(picture)) : high(wide(picture));
}

/** Return for each new pixel the first old one that it is made of, and the weights of these. */
function weights(size, from, to, wanted, filter) {
  const scale = Math.fround(to - from) / wanted;
  const stretch = Math.max(1, scale);
  const support = filter.support * stretch;
  return Array.from({ length: wanted }, (_, i) => {
    const centre = from + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(size, Math.trunc(centre + support + 0.5));
    const shares = Array.from({ length: last - first }, (_, k) => filter.at((k + first - centre + 0.5) * (1 / stretch)));
    const sum = shares.reduce((total, share) => total + share, 0);
    const fixed = shares.map((share) => (sum === 0 ? share : share / sum) * (1 << PRECISION_BITS));
    return { first, shares: Int32Array.from(fixed, (share) => Math.trunc(share < 0 ? share - 0.5 : share + 0.5)) };
  });
}

function resizedRows({ width, height, channels, pixels }, wanted, columns) {
  const made = new Uint8ClampedArray(wanted * height * channels);
  for (let y = 0, to = 0; y < height; y++) {
    for (const { first, shares } of columns) {
      for (let c = 0; c < channels; c++, to++) {
        let sum = 1 << (PRECISION_BITS - 1);
        for (let k = 0, from = (y * width + first) * channels + c; k < shares.length; k++, from += channels) sum += pixels[from] * shares[k];
        made[to] = Math.floor(sum / (1 << PRECISION_BITS)); // The array clips.
      }
    }
  }
  return { width: wanted, height, channels, pixels: new Uint8Array(made.buffer) };
}

/** Return a picture with its rows as columns. */
export function turned({ width, height, channels, pixels }) {
  const made = new Uint8Array(pixels.length);
  for (let y = 0, from = 0; y < height; y++) {
    for (let x = 0; x < width; x++) for (let c = 0; c < channels; c++) made[(x * height + y) * channels + c] = pixels[from++];
  }
  return { width: height, height: width, channels, pixels: made };
}

/** Average blocks of pixels; those at the right and the bottom may be smaller. */
function reduced({ width, height, channels, pixels }, factorX, factorY) {
  const [columns, rows] = [Math.ceil(width / factorX), Math.ceil(height / factorY)];
  const made = new Uint8Array(columns * rows * channels);
  for (let row = 0, to = 0; row < rows; row++) {
    const bottom = Math.min(height, (row + 1) * factorY);
    for (let column = 0; column < columns; column++) {
      const right = Math.min(width, (column + 1) * factorX);
      const count = (bottom - row * factorY) * (right - column * factorX);
      const multiplier = Math.trunc(Math.fround(2 ** 32 / (256 * count)));
      for (let c = 0; c < channels; c++, to++) {
        let sum = count >> 1;
        for (let y = row * factorY; y < bottom; y++) {
          for (let x = column * factorX; x < right; x++) sum += pixels[(y * width + x) * channels + c];
        }
        made[to] = Math.floor((sum * multiplier) / 2 ** 24);
      }
    }
  }
  return { width: columns, height: rows, channels, pixels: made };
}

/** Return a picture of at most this size with its proportions, by averages; a smaller one is returned as it is. */
export function thumbnail(picture, width, height) {
  if (width >= picture.width && height >= picture.height) return picture;
  const aspect = picture.width / picture.height;
  let [x, y] = [width, height];
  if (x / y >= aspect) x = nearer(y * aspect, (n) => Math.abs(aspect - n / y));
  else y = nearer(x / aspect, (n) => (n === 0 ? 0 : Math.abs(aspect - x / n)));
  const factorX = Math.trunc(picture.width / x / REDUCING_GAP) || 1;
  const factorY = Math.trunc(picture.height / y / REDUCING_GAP) || 1;
  const box = [0, 0, picture.width / factorX, picture.height / factorY];
  return resized(factorX > 1 || factorY > 1 ? reduced(picture, factorX, factorY) : picture, x, y, BOX, box);
}

function nearer(number, distance) {
  const [low, high] = [Math.floor(number), Math.ceil(number)];
  return Math.max(1, distance(high) < distance(low) ? high : low);
}

/** Return the middle of a picture, cut to the proportions of the size. */
export function cropped(picture, width, height) {
  const [is, wanted] = [picture.width / picture.height, width / height];
  const across = is > wanted ? wanted * picture.height : picture.width;
  const down = is < wanted ? picture.width / wanted : picture.height;
  const [left, top] = [(picture.width - across) * 0.5, (picture.height - down) * 0.5];
  return resized(picture, width, height, LANCZOS, [left, top, left + across, top + down]);
}

/** Return the whole picture in its proportions, padded with a colour (a number for each channel). */
export function padded(picture, width, height, colour) {
  const [is, wanted] = [picture.width / picture.height, width / height];
  const across = is < wanted ? rounded((picture.width / picture.height) * height) : width;
  const down = is > wanted ? rounded((picture.height / picture.width) * width) : height;
  const { channels } = picture;
  const made = Uint8Array.from({ length: width * height * channels }, (_, i) => colour[i % channels]);
  if (across > 0 && down > 0) {
    const inner = resized(picture, across, down, LANCZOS);
    const [left, top] = [rounded((width - across) * 0.5), across === width ? rounded((height - down) * 0.5) : 0];
    for (let y = 0; y < down; y++) {
      made.set(inner.pixels.subarray(y * across * channels, (y + 1) * across * channels), ((top + y) * width + left) * channels);
    }
  }
  return { width, height, channels, pixels: made };
}
