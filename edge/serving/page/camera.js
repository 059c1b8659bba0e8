/** The board's camera, live. */

import { camera } from "./classify.js";
import { NOTHING } from "./answer.js";
import { $, outline, say } from "./dom.js";
import { overcome, succeeded } from "./patience.js";

export class Camera {
  view = NOTHING;
  #options;
  #running = null;

  /** @param {{changed: () => void, top: () => number, file: () => string}} options `file` returns the selected model file. */
  constructor(options) {
    this.#options = options;
    $("camera-switch").addEventListener("click", () => (this.#running ? this.stop() : this.start()));
    $("camera-all").addEventListener("change", () => this.restart());
    document.addEventListener("visibilitychange", () => document.hidden && this.stop());
  }

  /** Start again if it is on, for another file. */
  restart() {
    if (!this.#running) return;
    this.stop();
    this.start();
  }

  stop() {
    this.#running?.abort();
    this.#running = null;
    $("camera-switch").textContent = "Start";
    $("frame").hidden = true;
    outline($("frame"), null);
    $("rate").textContent = "";
    say($("camera-said"), "The camera is off.");
    this.#show(NOTHING);
  }

  async start() {
    const running = (this.#running = new AbortController());
    $("camera-switch").textContent = "Stop";
    say($("camera-said"), "Starting the camera…");
    while (this.#running === running) {
      try {
        await this.#watch(running.signal);
      } catch (error) {
        if (this.#running !== running) return; // It was stopped.
        await overcome(error).catch(() => {
          this.stop();
          say($("camera-said"), "");
          this.#show({ ...NOTHING, state: "failed", message: error.message });
        });
      }
    }
  }

  async #watch(signal) {
    const files = $("camera-all").checked ? undefined : [this.#options.file()];
    for await (const frame of camera({ files, top: this.#options.top(), signal })) {
      if (signal.aborted) return;
      succeeded();
      say($("camera-said"), "");
      $("frame").src = frame.image;
      $("frame").hidden = false;
      outline($("frame"), frame.box);
      const dropped = frame.dropped ? `, ${frame.dropped} dropped` : "";
      $("rate").textContent = `${frame.frames_per_second.toFixed(1)} frames/s${dropped}`;
      this.#show({ ...NOTHING, state: "done", result: frame });
    }
  }

  #show(view) {
    this.view = view;
    this.#options.changed();
  }
}
