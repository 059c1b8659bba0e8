/** Pictures that were dropped, pasted, chosen or taken with a phone. They are classified one after another. */

import { classify } from "./classify.js";
import { NOTHING, sureness } from "./answer.js";
import { $, bytes, make, outline, percent, several } from "./dom.js";
import { patiently } from "./patience.js";

export class Pictures {
  #items = [];
  #chosen = null;
  #running = false;
  #options;

  /**
   * @param {{changed: () => void, arrived: () => void, limit: () => number, top: () => number, file: () => string}} options
   *   `arrived` is called when pictures come in, `limit` returns the largest size in bytes, `file` the selected model file.
   */
  constructor(options) {
    this.#options = options;
    for (const input of [$("choose"), $("photo")]) {
      input.addEventListener("change", () => {
        this.add([...input.files]);
        input.value = ""; // The same file can be chosen again.
      });
    }
    $("pictures-clear").addEventListener("click", () => this.#removeAll());
    this.#listenToDrops();
    addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length === 0) return;
      event.preventDefault();
      this.add(files);
    });
  }

  /** What to show of the selected picture. */
  get view() {
    return this.#chosen?.view ?? NOTHING;
  }

  add(files) {
    if (files.length === 0) return this.#say("Nothing was added: drop image files.");
    this.#options.arrived();
    const added = files.map((file) => this.#item(file));
    this.#items.push(...added);
    $("pictures").append(...added.map((item) => item.element));
    $("pictures-clear").hidden = false;
    $("drop").classList.add("filled");
    this.#choose(added[0]);
    if (!this.#running) this.#run();
  }

  /** Show the selected file's labels. */
  refresh() {
    for (const item of this.#items) this.#describe(item);
  }

  #item(file) {
    const address = URL.createObjectURL(file);
    const image = make("img", { src: address, alt: "" });
    image.addEventListener("error", () => image.replaceWith(make("span", { class: "broken", "aria-hidden": "true" }, "?")));
    const name = file.name || "picture";
    const said = make("span", { class: "soft" });
    const button = make("button", { type: "button" }, make("span", { class: "framed" }, image), make("span", { class: "what" }, make("b", {}, name), said));
    const item = { file, name, address, said, button, image, element: make("li", {}, button), view: { ...NOTHING, state: "waiting" } };
    button.addEventListener("click", () => {
      this.#choose(item);
      $("hero").scrollIntoView({ block: "nearest" });
    });
    this.#describe(item);
    return item;
  }

  async #run() {
    this.#running = true;
    for (let item; (item = this.#items.find(({ view }) => view.state === "waiting")); ) {
      const left = this.#items.filter(({ view }) => view.state === "waiting").length;
      this.#say(left > 1 ? `${left} pictures to go…` : "Working…");
      this.#show(item, { ...NOTHING, state: "working" });
      this.#show(item, await this.#classified(item));
    }
    this.#running = false;
    const failed = this.#items.filter(({ view }) => view.state === "failed").length;
    const done = several(this.#items.length - failed, "picture");
    this.#say(this.#items.length === 0 ? "" : `${done} classified${failed ? `, ${failed} failed` : ""}.`);
  }

  async #classified({ file, name }) {
    const limit = this.#options.limit();
    if (file.size > limit) return failure(`${name} has ${bytes(file.size)}; the limit is ${bytes(limit)}.`);
    try {
      const result = await patiently(() => classify([file], { top: this.#options.top(), pixels: true }));
      return { ...NOTHING, state: "done", result: { ...result.pictures[0], total_us: result.total_us, round_trip_ms: result.round_trip_ms } };
    } catch (error) {
      return failure(error.message);
    }
  }

  #show(item, view) {
    item.view = view;
    this.#describe(item);
    if (item === this.#chosen) this.#options.changed();
  }

  #describe({ view, said, button, image }) {
    outline(image, view.result?.box);
    const answers = view.result?.answers ?? [];
    const answer = answers.find(({ file }) => file === this.#options.file()) ?? answers[0];
    const differ = answers.some(({ agrees }) => agrees === false);
    const texts = { waiting: "waiting", working: "working…", failed: `✗ ${view.message}` };
    const marks = `${differ ? " ≠ files differ" : ""}${view.result?.doubt ? " ⚠ doubtful" : ""}`;
    said.textContent = texts[view.state] ?? `${answer.accepted === false ? sureness(answer) : `${answer.label}, ${percent(answer.probability)}`}${marks}`;
    button.dataset.state = view.state;
  }

  #choose(item) {
    this.#chosen = item;
    for (const { button } of this.#items) button.removeAttribute("aria-current");
    item?.button.setAttribute("aria-current", "true");
    this.#options.changed();
  }

  #removeAll() {
    for (const { address } of this.#items) URL.revokeObjectURL(address);
    this.#items = [];
    $("pictures").replaceChildren();
    $("pictures-clear").hidden = true;
    $("drop").classList.remove("filled");
    $("choose").focus();
    this.#say("");
    this.#choose(null);
  }

  #listenToDrops() {
    let depth = 0; // Every element under the pointer says that it was entered and left.
    const mark = (change) => {
      depth = change === null ? 0 : depth + change;
      document.body.classList.toggle("dropping", depth > 0);
    };
    const brings = (event) => event.dataTransfer?.types.includes("Files");
    addEventListener("dragenter", (event) => brings(event) && mark(1));
    addEventListener("dragleave", (event) => brings(event) && mark(-1));
    addEventListener("dragover", (event) => brings(event) && event.preventDefault());
    addEventListener("drop", (event) => {
      if (!brings(event)) return;
      event.preventDefault();
      mark(null);
      this.add([...event.dataTransfer.files]);
    });
  }

  #say(text) {
    $("pictures-said").textContent = text;
  }
}

const failure = (message) => ({ ...NOTHING, state: "failed", message });
