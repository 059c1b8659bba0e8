/** The answer to one picture: the selected file's label, its most probable classes, what the model saw, and times. */

import { $, duration, make, percent, say, several } from "./dom.js";

const ANNOUNCE_AFTER_MS = 600;
/** Before what is said of all files: whether they agree. */
export const SIGNS = { true: "✓ ", false: "≠ " };
const SCORES = { margin: "a margin", "max-logit": "a largest logit", energy: "an energy" };

/** What there is to show. `state` is "empty", "working" (the answer is not of the newest drawing), "done" or "failed". */
export const NOTHING = Object.freeze({ state: "empty", result: null, message: "", doubt: null });

let announcing = 0;
let announced = "";

/** Show a view: its answer by the file with the name `chosen`. */
export function showAnswer(view, chosen, reference) {
  const { state, result, message } = view;
  const answers = result?.answers ?? [];
  const answer = answers.find((each) => each.file === chosen) ?? answers[0] ?? null;
  const hero = $("hero");
  hero.dataset.state = state;
  hero.classList.toggle("blank", !answer);
  $("answer").setAttribute("aria-busy", state === "working");
  say($("message"), message);
  say($("doubt"), result?.doubt);
  $("answer-file").textContent = answer?.file ?? "";
  showLabel(answer, state);
  showAgreement(answer && (state === "working" ? { same: null, text: "updating…" } : agreement(answers, reference)));
  showSeen(answer?.seen ?? result?.seen ?? null);
  showBars($("bars-all").checked ? answers : answer ? [answer] : []);
  $("bars-choice").hidden = answers.length < 2;
  $("bars-title").textContent = answer ? (answer.top.length === 1 ? "Class" : `Top ${answer.top.length}`) : "Top 5";
  showTimes(result, answer);
  announce(state === "done" && answer ? sentence(answer, answers, reference) : "");
}

/** Return what an answer says: its probability, or, below the file's threshold, that it is not sure. */
export function sureness({ label, probability, accepted, threshold }) {
  if (accepted !== false) return percent(probability);
  const { score, least, most } = threshold;
  const figure = (value, digits = 4) => Number(value.toPrecision(digits));
  const share = (value, digits = 4) =>
    value < 1 && digits < 17 && figure(100 * value, digits) >= 100 ? share(value, digits + 1) : `${figure(100 * value, digits)}\u00a0%`;
  const window = most === null ? figure(least) : `${figure(least)} to ${figure(most)}`;
  const limits = `${most === null ? "below" : "outside"} ${score === "margin" ? share(least) : window}`;
  const why = score === "probability" ? `is below the threshold ${share(least)}` : `with ${SCORES[score]} ${limits}`;
  return `Not sure: ${label} at ${share(probability)} ${why}`;
}

function showLabel(answer, state) {
  const label = $("label");
  const text = (answer?.accepted !== false && answer?.label) || "?";
  if (label.textContent !== text) {
    label.textContent = text;
    label.dataset.length = text.length <= 2 ? "sign" : text.length <= 9 ? "word" : text.length <= 28 ? "name" : "long";
    label.classList.remove("new");
    void label.offsetWidth; // The animation starts again.
    if (answer) label.classList.add("new");
  }
  const waiting = state === "working" ? "…" : "No answer yet";
  $("probability").textContent = answer ? sureness(answer) : waiting;
}

/**
 * Return how many files say the same, as {same, text}, or null for one file alone. `same` is null where they do, but one of them
 * is not sure: that they agree is no reason to believe them.
 */
export function agreement(answers, reference) {
  if (answers.length < 2) return null;
  const every = answers.length === 2 ? "Both" : `All ${answers.length}`;
  const judged = answers.filter((each) => each.agrees !== null);
  const other = judged.filter((each) => !each.agrees);
  if (judged.length === 0) {
    const labels = new Set(answers.map((each) => each.label));
    return labels.size === 1 ? alike(answers, `${every} files say so`) : { same: false, text: `The files give ${labels.size} labels` };
  }
  if (other.length === 0) return alike(answers, `${every} files agree`);
  const verb = other.length === 1 ? "differs" : "differ";
  return { same: false, text: `${several(other.length, "file")} ${verb} from ${reference ?? "the reference"}` };
}

function alike(answers, text) {
  const unsure = answers.filter((each) => each.accepted === false).length;
  return unsure === 0 ? { same: true, text } : { same: null, text: `${text}; ${unsure === answers.length ? "none is" : `${unsure} not`} sure` };
}

function showAgreement(found) {
  const line = $("agreement");
  line.classList.toggle("agrees", found?.same === true);
  line.classList.toggle("differs", found?.same === false);
  const sign = SIGNS[found?.same] ?? "";
  line.replaceChildren(...(found ? [make("span", { "aria-hidden": "true" }, sign), found.text] : []));
}

function showSeen(seen) {
  const canvas = $("seen");
  const text = seen ? `${seen.width} × ${seen.height} pixels` : "nothing yet";
  canvas.setAttribute("aria-label", `What the model sees: ${text}`);
  $("seen-size").textContent = seen ? `${seen.width}\u00a0×\u00a0${seen.height}` : "";
  canvas.width = seen?.width ?? 1; // Setting a size clears the canvas.
  canvas.height = seen?.height ?? 1;
  if (!seen) return;
  const image = new ImageData(seen.width, seen.height);
  const { channels, pixels } = seen;
  for (let i = 0; i < seen.width * seen.height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = pixels[i * channels + (channels >= 3 ? c : 0)];
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Bars keep their elements, so that they grow and shrink. */
function showBars(answers) {
  const box = $("bars");
  $("bars-none").hidden = answers.length > 0;
  while (box.children.length > answers.length) box.lastChild.remove();
  answers.forEach((answer, i) => {
    const part = box.children[i] ?? box.appendChild(make("section", {}, make("h4"), make("ol", { class: "bars" })));
    const [title, list] = part.children;
    title.textContent = answer.file;
    title.hidden = answers.length === 1;
    list.setAttribute("aria-label", `Most probable classes by ${answer.file}`);
    list.classList.toggle("short", answer.top.every(({ label }) => label.length <= 3));
    while (list.children.length > answer.top.length) list.lastChild.remove();
    answer.top.forEach(({ label, probability }, rank) => {
      const row = list.children[rank] ?? list.appendChild(bar());
      row.children[0].textContent = label;
      row.children[1].firstChild.style.width = `${100 * probability}%`;
      row.children[2].textContent = percent(probability);
    });
  });
  box.classList.toggle("many", answers.length > 1);
}

const bar = () => make("li", {}, make("span"), make("i", { "aria-hidden": "true" }, make("i")), make("b"));

function showTimes(result, answer) {
  $("time-inference").textContent = answer ? duration(answer.inference_us) : "–";
  $("time-server").textContent = result?.total_us !== undefined ? duration(result.total_us) : "–";
  $("time-trip").parentElement.hidden = result !== null && result.round_trip_ms === undefined; // A camera's frames come by themselves.
  $("time-trip").textContent = result?.round_trip_ms !== undefined ? duration(1000 * result.round_trip_ms) : "–";
}

function sentence(answer, answers, reference) {
  const found = agreement(answers, reference);
  const said = answer.accepted === false ? sureness(answer) : `${answer.label}, ${percent(answer.probability)}`;
  return `${said}, by ${answer.file}.${found ? ` ${found.text}.` : ""}`;
}

/** Read an answer to those who don't see it, once it has stayed the same for a moment. */
function announce(text) {
  clearTimeout(announcing);
  if (!text) {
    announced = "";
    return;
  }
  announcing = setTimeout(() => {
    if (text !== announced) $("live").textContent = announced = text;
  }, ANNOUNCE_AFTER_MS);
}
