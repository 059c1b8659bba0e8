/** One call at a time, always of the newest request. */

import { ClassifyError } from "./classify.js";
import { overcome, succeeded } from "./patience.js";

/** Time between the end of a call and the start of the next. */
const GAP_MS = 40;

export class Latest {
  #work;
  #fail;
  #wanted = false;
  #running = false;

  /**
   * @param {() => Promise<boolean>} work Sends what is newest when it is called, and shows the answer if it still is. It returns
   *   false if there was nothing to send.
   * @param {(error: Error) => void} fail Shows an error that waiting doesn't mend.
   */
  constructor(work, fail) {
    this.#work = work;
    this.#fail = fail;
  }

  /** Run the work soon: now, or once after the call under way. */
  ask() {
    this.#wanted = true;
    if (!this.#running) this.#run();
  }

  async #run() {
    this.#running = true;
    while (this.#wanted) {
      this.#wanted = false;
      try {
        if ((await this.#work()) !== false) succeeded();
      } catch (error) {
        await overcome(error).then(
          () => (this.#wanted = true),
          () => {
            if (!(error instanceof ClassifyError)) console.error(error);
            this.#fail(error);
          },
        );
      }
      await new Promise((resolve) => setTimeout(resolve, GAP_MS));
    }
    this.#running = false;
  }
}
