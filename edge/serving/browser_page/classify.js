/**
 * Answers of the model, which this browser runs itself: this module takes the place of the one that asks a server.
 *
 * An answer has the fields of `POST /api/classify`, except that `seen.pixels` is a Uint8Array. No picture leaves the browser.
 */

import { PictureError, unsure } from "./digit.js";
import { Model } from "./engine.js";
import { fittedPicture } from "./fit.js";

/** What went wrong. `kind` is "network" or "refused"; `message` is for people. */
export class ClassifyError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
    this.seconds = null;
    this.tried = false;
  }
}

let loading = null;

/** There is no server, so there is no token. */
export const useToken = () => {};
export const needsToken = () => false;

/** Return the model as `GET /api/model` describes it. The first call opens all files. */
export async function loadModel() {
  return (await everything()).about;
}

/**
 * Return every file's answers to some pictures.
 *
 * @param {Blob[]} blobs Image files.
 * @param {{files?: string[], top?: number, pixels?: boolean, signal?: AbortSignal}} options
 *   `files`: names of files that answer, all if it is missing. `pixels`: whether to return what the model sees.
 */
export async function classify(blobs, { files, top = 5, pixels = false, signal } = {}) {
  const { about, rule, models } = await everything();
  const chosen = files?.length ? models.filter(({ name }) => files.includes(name)) : models;
  const start = performance.now();
  let decode = 0;
  const pictures = [];
  for (const blob of blobs) {
    signal?.throwIfAborted();
    const name = blob.name || "drawing.png";
    const before = performance.now();
    const { picture, doubt, box } = await fittedPicture(blob, about.shape, rule, name).catch(refused);
    decode += performance.now() - before;
    const answers = [];
    for (const model of chosen) answers.push(await answer(model, picture, about, top));
    const hardly = box && answers.length > 0 ? unsure(name, answers[0].probability) : null;
    pictures.push({ name, doubt: doubt ?? hardly, box, seen: pixels ? picture : null, answers: compared(answers, about.reference) });
  }
  return { pictures, decode_us: 1000 * decode, total_us: 1000 * (performance.now() - start) };
}

/** A page without a server has no board's camera. */
// eslint-disable-next-line require-yield -- The page asks for an iterator.
export async function* camera() {
  throw new ClassifyError("refused", "This page has no camera: take a photo under Pictures.");
}

async function answer(model, picture, about, top) {
  const { probabilities, accepted, threshold, inference_us } = await model.run(picture).catch((error) => {
    throw new ClassifyError("refused", `${model.name} can't be run: ${error.message}`);
  });
  const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a]);
  const listed = order.slice(0, top).map((index) => ({ label: about.class_names[index], probability: probabilities[index] }));
  const { sha256, runtime } = about.files.find(({ name }) => name === model.name);
  const judged = { ...listed[0], accepted, threshold, top: listed };
  return { file: model.name, sha256, runtime, ...judged, inference_us, agrees: null, seen: null };
}

function compared(answers, reference) {
  const said = answers.find(({ file }) => file === reference)?.label;
  return answers.map((each) => (said === undefined || each.file === reference ? each : { ...each, agrees: each.label === said }));
}

function refused(error) {
  throw error instanceof PictureError ? new ClassifyError("refused", error.message) : error;
}

function everything() {
  loading ??= opened().catch((error) => {
    loading = null; // The next call tries again.
    throw error;
  });
  return loading;
}

async function opened() {
  requireExactPixels();
  const { about, rule, inputs } = JSON.parse(new TextDecoder().decode(await fetched("model.json")));
  const models = [];
  for (const { name, sha256 } of about.files) {
    const bytes = await fetched(name);
    await requireHash(name, bytes, sha256);
    models.push(
      await Model.open(bytes, { name, ...inputs[name] }).catch((error) => {
        throw new ClassifyError("refused", `${name} can't be opened: ${error.message}`);
      }),
    );
  }
  return { about, rule, models };
}

async function fetched(name) {
  const lost = () => new ClassifyError("network", `${name} can't be loaded.`);
  const response = await fetch(name, { cache: "no-cache" }).catch(() => Promise.reject(lost()));
  if (!response.ok) throw new ClassifyError("refused", `${name} is missing beside this page: copy the whole folder again.`);
  return new Uint8Array(await response.arrayBuffer().catch(() => Promise.reject(lost())));
}

/** Refuse a file that is not the one that was exported. Browsers hash only on https and on this machine. */
async function requireHash(name, bytes, sha256) {
  if (!globalThis.crypto?.subtle) return;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== sha256) throw new ClassifyError("refused", `${name} is not the file that was exported: copy the whole folder again.`);
}

/** Refuse a browser that alters the pixels that a page reads, as some do against tracking: answers would be silently wrong. */
function requireExactPixels() {
  const context = new OffscreenCanvas(256, 1).getContext("2d", { willReadFrequently: true, alpha: false });
  const levels = new ImageData(256, 1);
  for (let i = 0; i < levels.data.length; i++) levels.data[i] = i % 4 === 3 ? 255 : i >> 2;
  context.putImageData(levels, 0, 0);
  const read = context.getImageData(0, 0, 256, 1).data;
  if (levels.data.some((value, i) => value !== read[i])) {
    throw new ClassifyError("refused", "This browser alters the pixels that a page reads: allow it to read canvases, or use another.");
  }
}
