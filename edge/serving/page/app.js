/** The page: draw or bring a picture, and see what every file of the model says. */

import { classify, loadModel } from "./classify.js";
import { NOTHING, showAnswer } from "./answer.js";
import { Camera } from "./camera.js";
import { $ } from "./dom.js";
import { describe, showFiles } from "./files.js";
import { Latest } from "./latest.js";
import { Paper } from "./paper.js";
import { patiently, whenBack } from "./patience.js";
import { Pictures } from "./pictures.js";
import { tabs } from "./tabs.js";

const TOP = 5;

let model = null;
let chosen = null;
let tab = null;
let drawn = NOTHING;

const top = () => Math.min(TOP, model.class_names.length);

const paper = new Paper(() => {
  if (paper.empty) showDrawing(NOTHING);
  else {
    // The answer to the drawing before stays for comparison, marked as not being of this one.
    showDrawing({ ...drawn, state: "working", message: "" });
    drawings.ask();
  }
});

const drawings = new Latest(
  async () => {
    if (paper.empty) return false;
    const { drawing, moment } = paper;
    const sent = await paper.picture();
    const result = await classify([sent], { top: top(), pixels: true }).catch((error) => {
      if (error.kind === "refused" && moment !== paper.moment) return null; // The newer drawing is sent next.
      throw error;
    });
    // While a stroke is drawn its answers are shown as they come, marked. Those of another drawing never are.
    if (result && drawing === paper.drawing) {
      const { total_us, round_trip_ms } = result;
      const state = moment === paper.moment ? "done" : "working";
      showDrawing({ ...NOTHING, state, result: { ...result.pictures[0], total_us, round_trip_ms } });
    }
    return true;
  },
  (error) => showDrawing({ ...NOTHING, state: "failed", message: error.message }),
);

const pictures = new Pictures({
  changed: show,
  arrived: () => select("tab-pictures"),
  limit: () => model.limits.body_bytes,
  top,
  file: () => chosen,
});

const camera = new Camera({ changed: show, top, file: () => chosen });

const select = tabs($("tab-draw").parentElement, (id) => {
  tab = id;
  if (id === "tab-camera") camera.start();
  else camera.stop();
  show();
});

function showDrawing(view) {
  drawn = view;
  show();
}

function show() {
  if (!model) return;
  const view = { "tab-draw": () => drawn, "tab-pictures": () => pictures.view, "tab-camera": () => camera.view }[tab]?.() ?? NOTHING;
  showAnswer(view, chosen, model.reference);
  showFiles(view, chosen, model.reference);
}

function choose(name) {
  chosen = name;
  pictures.refresh();
  if (tab === "tab-camera") camera.restart();
  show();
}

/** Show a model, and select a file that passed the last bench, if one did. */
function take(loaded) {
  if (JSON.stringify(loaded) === JSON.stringify(model)) return;
  model = loaded;
  const names = model.files.map((file) => file.name);
  if (!names.includes(chosen)) {
    const passed = names.filter((name) => model.verdict?.files[name] === "PASS");
    chosen = passed.find((name) => model.verdict.text.includes(name)) ?? passed[0] ?? names[0];
  }
  describe(model, chosen, choose);
  $("tab-camera").hidden = !model.camera;
  $("not-drawn").hidden = model.draws;
  $("hint-text").textContent = hint(model);
  $("hint").classList.toggle("digits", digits(model));
}

const digits = ({ class_names, draws }) => draws && class_names.every((name) => /^[0-9]$/.test(name));

function hint(loaded) {
  if (digits(loaded)) return "Draw a digit";
  return loaded.draws && loaded.class_names.every((name) => [...name].length === 1) ? "Draw a letter" : "Draw here";
}

async function start() {
  try {
    take(await patiently(loadModel));
  } catch (error) {
    $("start").textContent = error.message;
    return;
  }
  $("start").hidden = true;
  $("page").hidden = false;
  if (!model.draws) $("tab-pictures").after($("tab-draw"));
  select(model.draws ? "tab-draw" : "tab-pictures");
  // A server that was away may have come back with other files.
  whenBack(() => loadModel().then(take).then(show, () => {}));
}

$("bars-all").addEventListener("change", show);
start();
