/** The files of the model side by side, those that are skipped, and what the last bench says of them. */

import { $, bytes, duration, make, percent, say, several, showStatus } from "./dom.js";
import { agreement, SIGNS } from "./answer.js";

/** Describe the model; `choose` is called with the name of a file when it is selected. */
export function describe(model, chosen, choose) {
  document.title = `${model.name}, edgecnn`;
  $("name").textContent = model.name;
  $("facts").textContent = [
    several(model.class_names.length, "class", "classes"), several(model.files.length, "file"), size(model.shape),
  ].join(" · ");
  $("rows").replaceChildren(...model.files.map((file) => row(file, model, file.name === chosen, choose)));
  $("rows").classList.toggle("wordy", model.class_names.some((name) => name.length > 10));
  const skipped = Object.entries(model.skipped);
  $("skipped").replaceChildren(
    ...(skipped.length ? [make("h3", {}, "Skipped"), make("ul", { class: "plain" }, ...skipped.map(skip))] : []),
  );
  describeVerdict(model.verdict);
  $("about").replaceChildren(about(model));
}

const size = ([height, width, channels]) =>
  `${width}\u00a0×\u00a0${height} ${channels === 1 ? "grey" : channels === 3 ? "colour" : several(channels, "channel")}`;

const skip = ([name, reason]) => make("li", {}, make("b", {}, name), ` ${reason}`);

function row(file, model, checked, choose) {
  const radio = make("input", { type: "radio", name: "file", value: file.name, checked, "aria-label": `Show the answer of ${file.name}` });
  radio.addEventListener("change", () => choose(file.name));
  const name = make("label", {}, radio, make("span", {}, make("b", {}, file.name), make("small", {}, `${file.precision}, ${file.runtime}`)));
  const head = make("th", { role: "rowheader", scope: "row" }, name);
  if (file.unverified) head.append(make("p", { class: "mark", title: file.unverified }, "⚠ unverified"));
  for (const doubt of file.doubts ?? []) head.append(make("p", { class: "mark" }, `⚠ ${doubt}`));
  const status = model.verdict?.current ? model.verdict.files[file.name] : null;
  if (status && status !== "PASS") {
    const badge = make("span", { class: "status" });
    showStatus(badge, status);
    head.append(badge);
  }
  const cells = ["Label", "Probability", "Inference", "Agreement"].map((title) =>
    make("td", { role: "cell", "data-title": title, class: title.toLowerCase() }, "–"),
  );
  return make("tr", { role: "row", "data-file": file.name }, head, ...cells);
}

/** Show what each file answers to one picture. */
export function showFiles({ state, result }, chosen, reference) {
  const answers = new Map((result?.answers ?? []).map((answer) => [answer.file, answer]));
  $("rows").dataset.state = state;
  for (const row of $("rows").children) {
    const answer = answers.get(row.dataset.file);
    const [head, label, probability, inference, agrees] = row.children;
    head.querySelector("input").checked = row.dataset.file === chosen;
    row.classList.toggle("chosen", row.dataset.file === chosen);
    row.classList.toggle("agrees", answer?.agrees === true && answer.accepted !== false);
    row.classList.toggle("differs", answer?.agrees === false);
    label.textContent = answer ? (answer.accepted === false ? `not sure (${answer.label})` : answer.label) : "–";
    probability.textContent = answer ? percent(answer.probability) : "–";
    inference.textContent = answer ? duration(answer.inference_us) : "–";
    agrees.textContent = answer ? judged(answer, reference) : "–";
  }
  const found = agreement([...answers.values()], reference);
  $("files-said").textContent = found ? `${SIGNS[found.same] ?? ""}${found.text}` : "";
}

function judged(answer, reference) {
  if (answer.file === reference) return "reference";
  if (answer.agrees === null) return "no reference";
  return answer.agrees ? "✓ agrees" : "≠ differs";
}

function describeVerdict(verdict) {
  const status = $("verdict-status");
  const pill = $("pill");
  status.hidden = pill.hidden = !verdict;
  if (!verdict) {
    $("verdict-text").textContent = "These files have not been measured yet.";
    say($("verdict-when"), "edgecnn bench measures them, and says which one to ship.");
    return say($("verdict-old"), "");
  }
  showStatus(status, verdict.status);
  showStatus(pill, verdict.status);
  if (!verdict.current) {
    pill.className = status.className = "status unsure";
    pill.append(", outdated");
  }
  $("verdict-text").textContent = verdict.text;
  say($("verdict-old"), verdict.current ? "" : "Outdated: files have changed since. Run edgecnn bench again.");
  const when = new Date(verdict.measured);
  const date = Number.isNaN(when.getTime()) ? verdict.measured : when.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
  say($("verdict-when"), `Measured ${date} on ${verdict.machine}.`);
}

function about(model) {
  const facts = [
    ["Pixels", model.preprocessing], ["Input", model.shape.join(" × ")], ["Reference", model.reference ?? "none"], ["edgecnn", model.version],
  ];
  const files = model.files.map((file) =>
    make("div", {}, make("dt", {}, file.name), make("dd", {},
      `${bytes(file.size_bytes)}, ${file.format} ${file.precision}, ${file.runtime}`,
      file.unverified ? make("p", { class: "mark" }, `⚠ unverified: ${file.unverified}`) : null,
      make("code", {}, `SHA-256 ${file.sha256}`))),
  );
  return make("dl", {}, ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))), ...files);
}
