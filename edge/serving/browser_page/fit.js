/** Turns an image file into the model's uint8 image, by the rule of edge/data/image_file.py. */

import { fittedDigit, PictureError } from "./digit.js";
import { median } from "./numbers.js";
import { cropped, LANCZOS, padded, resized } from "./resample.js";

const MOST_PIXELS = 8192 * 6144;

/**
 * Return a picture {width, height, channels, pixels} of the model's shape, a doubt or null, and the digit's box: its left, top,
 * right and bottom as shares of the picture, null if none was looked for.
 *
 * @param {Blob} blob An image file.
 * @param {number[]} shape Height, width and channels of the model's images.
 * @param {{fit: string, background: string}} rule How the training images were fitted, and their background.
 */
export async function fittedPicture(blob, shape, rule, name) {
  const [height, width, channels] = shape;
  let [doubt, box] = [null, null];
  const told = { doubt: (text) => (doubt ??= text), box: (found) => (box = found) };
  const picture = byRule(await decoded(blob, channels, name), height, width, rule, name, told);
  return { picture, doubt, box };
}

/** Return an image file's pixels, upright, transparency on white, in grey for one channel. */
export async function decoded(blob, channels, name) {
  const options = { imageOrientation: "from-image", premultiplyAlpha: "none", colorSpaceConversion: "none" };
  const bitmap = await createImageBitmap(blob, options).catch(() => {
    throw new PictureError(`${name} is not an image that this browser can read: bring a PNG or JPEG file.`);
  });
  try {
    const { width, height } = bitmap;
    if (width * height > MOST_PIXELS) {
      throw new PictureError(`${name} has ${width}x${height} pixels, more than ${MOST_PIXELS.toLocaleString("en")}: make it smaller.`);
    }
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true, alpha: false });
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, 0, 0);
    return fromColours(context.getImageData(0, 0, width, height), channels);
  } finally {
    bitmap.close();
  }
}

/** Return the colours, or the grey that Pillow makes of them. */
function fromColours({ width, height, data }, channels) {
  const pixels = new Uint8Array(width * height * channels);
  for (let i = 0, from = 0; from < data.length; from += 4) {
    const [red, green, blue] = [data[from], data[from + 1], data[from + 2]];
    if (channels === 1) pixels[i++] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    else [pixels[i++], pixels[i++], pixels[i++]] = [red, green, blue];
  }
  return { width, height, channels, pixels };
}

/** Fit decoded pixels. `told.doubt` gets what is doubtful, `told.box` the digit's box. */
export function byRule(picture, height, width, { fit, background: trainedOn }, name, told) {
  const border = background(picture);
  const sameSize = picture.height === height && picture.width === width;
  const opposite = (border === "dark" && trainedOn === "light") || (border === "light" && trainedOn === "dark");
  if (fit === "digit" && picture.channels === 1) {
    if (sameSize && border === trainedOn) return picture;
    if (sameSize && opposite) return inverted(picture);
    return fittedDigit(picture, height, width, name, told);
  }
  if (border === "any" && trainedOn !== "any") {
    told.doubt(
      `${name} has a border that is neither light nor dark, and was read as on a ${trainedOn} background: ` +
        "crop it so that its border is background alone",
    );
  }
  return fitted(opposite ? inverted(picture) : picture, height, width, fit);
}

function fitted(picture, height, width, fit) {
  if (picture.height === height && picture.width === width) return picture;
  if (fit === "crop") return cropped(picture, width, height);
  if (fit === "stretch") return resized(picture, width, height, LANCZOS);
  const outermost = edges(picture);
  const colour = Array.from({ length: picture.channels }, (_, c) => Math.trunc(median(outermost.map((pixel) => pixel[c]))));
  return padded(picture, width, height, colour);
}

const inverted = (picture) => ({ ...picture, pixels: picture.pixels.map((value) => 255 - value) });

/** Return "dark", "light" or "any" by which third holds the median of the outermost pixels. */
function background(picture) {
  const middle = median(edges(picture).flatMap((pixel) => [...pixel]));
  return middle < 256 / 3 ? "dark" : middle >= 512 / 3 ? "light" : "any";
}

/** Return the pixels of the first and last row and column; those at the corners twice. */
function edges({ width, height, channels, pixels }) {
  const at = (x, y) => pixels.subarray((y * width + x) * channels, (y * width + x + 1) * channels);
  const columns = Array.from({ length: width }, (_, x) => [at(x, 0), at(x, height - 1)]);
  const rows = Array.from({ length: height }, (_, y) => [at(0, y), at(width - 1, y)]);
  return [...columns, ...rows].flat();
}
