/** Runs the model's .onnx files with onnxruntime-web, on one thread, so that the page needs no headers of a server. */

import { env, InferenceSession, Tensor } from "./ort.wasm.bundle.min.mjs";
import { reaches, scoreOf } from "./numbers.js";

const ARRAYS = {
  float16: Uint16Array, float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array,
  uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array,
};
/** A browser's clock may have steps of 0.1 ms: a file runs again until this time has passed. */
const MEASURED_MS = 2;
const MOST_RUNS = 20;

env.wasm.numThreads = 1;
env.wasm.proxy = false;
env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href };
env.logLevel = "error";

/** A model file that is ready to run. */
export class Model {
  #session;
  #about;
  #table;

  /** @param {{name: string, input: object, output: object}} about What model.json says of the file. */
  static async open(bytes, about) {
    const session = await InferenceSession.create(bytes, { executionProviders: ["wasm"], intraOpNumThreads: 1 });
    return new Model(session, about);
  }

  constructor(session, about) {
    this.#session = session;
    this.#about = about;
    const stored = Uint8Array.from(atob(about.input.table), (letter) => letter.charCodeAt(0));
    this.#table = new ARRAYS[about.input.dtype](stored.buffer);
  }

  get name() {
    return this.#about.name;
  }

  /** Return a picture's class probabilities, whether they reach the threshold, and the mean time of a run in microseconds. */
  async run(picture) {
    const { input, output, threshold } = this.#about;
    const feeds = { [input.name]: new Tensor(input.dtype, this.#inputs(picture), input.shape) };
    const start = performance.now();
    let runs = 0;
    let outputs = null;
    let passed = 0;
    do {
      outputs = await this.#session.run(feeds);
      runs += 1;
      passed = performance.now() - start;
    } while (passed < MEASURED_MS && runs < MOST_RUNS);
    const raw = outputs[output.name].data;
    const probabilities = probabilitiesOf(raw, output.kind);
    const accepted = threshold && reaches(threshold, scoreOf(raw, probabilities, threshold.score));
    return { probabilities, accepted, threshold, inference_us: (1000 * passed) / runs };
  }

  /** Look up every pixel in the table, in the model's order of channels and axes. */
  #inputs({ channels, pixels }) {
    const { dtype, bgr, channels_first: first } = this.#about.input;
    const inputs = new ARRAYS[dtype](pixels.length);
    const size = pixels.length / channels;
    const tables = this.#table.length / 256;
    for (let i = 0; i < size; i++) {
      for (let c = 0; c < channels; c++) {
        const pixel = pixels[i * channels + (bgr ? channels - 1 - c : c)];
        inputs[first ? c * size + i : i * channels + c] = this.#table[(tables > 1 ? 256 * c : 0) + pixel];
      }
    }
    return inputs;
  }
}

/** Return probabilities as float32, of probabilities or logits; one number is a binary classifier's for class 1. */
function probabilitiesOf(raw, kind) {
  let values = Float32Array.from(raw);
  if (kind === "logits") {
    if (values.length === 1) values = Float32Array.of(0, values[0]);
    const most = Math.max(...values);
    values = values.map((value) => Math.exp(value - most));
    const sum = values.reduce((total, value) => total + value, 0);
    values = values.map((value) => value / sum);
  } else if (values.length === 1) values = Float32Array.of(1 - values[0], values[0]);
  const sum = values.reduce((total, value) => total + value, 0);
  // What 8 bits round may add up to a few steps of 1/256.
  if (!(Math.abs(sum - 1) <= 0.001 + (values.length / 2 + 1) / 255)) throw new Error(`its outputs sum to ${sum} and are no probabilities`);
  return values;
}
