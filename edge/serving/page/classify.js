/**
 * Answers of the model, from the server that sent this page. No other module knows of the server: one that runs the model in the
 * browser can take this module's place.
 *
 * An answer has the fields of `POST /api/classify`, except that `seen.pixels` is a Uint8Array, and that `round_trip_ms` is added.
 */

const STORED = "edgecnn-token";
const TIME_LIMIT_MS = 30000;

/** What went wrong. `kind` is "token", "busy" (try again after `seconds`), "network" or "refused"; `message` is for people. */
export class ClassifyError extends Error {
  constructor(kind, message, { seconds = null, tried = false } = {}) {
    super(message);
    this.kind = kind;
    this.seconds = seconds;
    this.tried = tried;
  }
}

let token = stored() ?? "";
takeFromAddress();
// Another address with a token, pasted into the same tab, only changes the fragment.
addEventListener("hashchange", () => takeFromAddress() && location.reload());

function stored() {
  try {
    return sessionStorage.getItem(STORED);
  } catch {
    return null; // The browser keeps nothing for this page.
  }
}

/** Take the token out of the address, where it would be seen, copied and kept in the history. */
function takeFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) return false;
  history.replaceState(null, "", location.pathname + location.search);
  useToken(given);
  return true;
}

/** Send this token from now on. */
export function useToken(text) {
  token = text.trim();
  try {
    sessionStorage.setItem(STORED, token);
  } catch {
    // It is kept until the page is closed.
  }
}

/** Whether an error says that a token is missing or wrong; then `error.tried` says whether there was one. */
export const needsToken = (error) => error instanceof ClassifyError && error.kind === "token";

/** Return the model: its files, classes and limits, as `GET /api/model` describes them. */
export async function loadModel({ signal } = {}) {
  return (await call("api/model", { signal })).body;
}

/**
 * Return every file's answers to some pictures.
 *
 * @param {Blob[]} blobs Image files.
 * @param {{files?: string[], top?: number, pixels?: boolean, signal?: AbortSignal}} options
 *   `files`: names of files that answer, all if it is missing. `pixels`: whether to return what the model sees.
 */
export async function classify(blobs, { files, top, pixels, signal } = {}) {
  const form = new FormData();
  for (const blob of blobs) form.append("picture", blob, blob.name || "drawing.png");
  const { body, milliseconds } = await call(`api/classify${query({ files, top, pixels })}`, { method: "POST", body: form, signal });
  return { ...body, pictures: body.pictures.map(unpacked), round_trip_ms: milliseconds };
}

/** Yield the answers to one camera frame after another, with `image`, the address of a small picture of the frame. */
export async function* camera({ files, top, signal } = {}) {
  const response = await ask(`api/camera${query({ files, top, pixels: true })}`, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch((error) => lost(error, signal));
    if (done) throw new ClassifyError("network", "The camera's stream ended.");
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines.filter((text) => text.trim())) {
      const frame = parsed(line);
      if (frame.error) throw new ClassifyError("refused", frame.error);
      yield { ...unpacked(frame), image: `data:image/jpeg;base64,${frame.jpeg}` };
    }
  }
}

function query({ files = [], top, pixels }) {
  const values = new URLSearchParams(files.map((name) => ["file", name]));
  if (top) values.set("top", top);
  if (pixels) values.set("pixels", "true");
  const text = values.toString();
  return text && `?${text}`;
}

function unpacked(picture) {
  const decoded = (seen) => seen && { ...seen, pixels: Uint8Array.from(atob(seen.pixels), (letter) => letter.charCodeAt(0)) };
  // A file has an image of its own if it fits pictures differently than the first file.
  const answers = picture.answers.map((answer) => ({ ...answer, seen: decoded(answer.seen) }));
  return { ...picture, seen: decoded(picture.seen), answers };
}

/** Return the JSON of one request and how long it took, from sending to having read the answer. */
async function call(path, { signal, ...options }) {
  const limit = new AbortController();
  const stop = () => limit.abort(signal.reason);
  const timer = setTimeout(() => limit.abort(new DOMException("too late", "TimeoutError")), TIME_LIMIT_MS);
  signal?.addEventListener("abort", stop);
  try {
    const start = performance.now();
    const response = await ask(path, { ...options, signal: limit.signal });
    const text = await response.text().catch((error) => lost(error, limit.signal));
    return { milliseconds: performance.now() - start, body: parsed(text) };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

/** Return the response to a request that succeeded. */
async function ask(path, { signal, ...options }) {
  const tried = token !== "";
  // No header can hold other letters, so no server has such a token.
  if (/[^\x21-\x7e]/.test(token)) throw new ClassifyError("token", "The token has letters that no token has.", { tried });
  const headers = tried ? { Authorization: `Bearer ${token}` } : {};
  const settings = { ...options, headers, signal, cache: "no-store", credentials: "same-origin", redirect: "error" };
  const response = await fetch(path, settings).catch((error) => lost(error, signal));
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  const message = said.error ?? `The server refused with status ${response.status}.`;
  if (response.status === 401) throw new ClassifyError("token", message, { tried });
  if (response.status !== 503) throw new ClassifyError("refused", message);
  throw new ClassifyError("busy", message, { seconds: Number(response.headers.get("Retry-After")) || 1 });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new ClassifyError("refused", "The server's answer is no JSON. Is it edgecnn serve?");
  }
}

function lost(error, signal) {
  if (signal?.aborted && signal.reason?.name !== "TimeoutError") throw error;
  throw new ClassifyError("network", "The server can't be reached.");
}
