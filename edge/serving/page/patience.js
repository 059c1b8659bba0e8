/** What to do when the server is busy, out of reach, or asks for a token: say so, wait, and let the caller try again. */

import { loadModel, needsToken, useToken } from "./classify.js";
import { $, say } from "./dom.js";

const LONGEST_S = 10;
const WRONG = "The server doesn't accept this token. Check it and try again.";

let failures = 0;
let wake = null;
let asking = null;
const onReturn = [];

$("trouble-now").addEventListener("click", () => wake?.());
addEventListener("online", () => wake?.());

/** Call this whenever the server is back after it could not be reached. */
export const whenBack = (callback) => onReturn.push(callback);

/** Say that a call has succeeded. */
export function succeeded() {
  const wasLost = failures > 0;
  failures = 0;
  if (!asking) $("trouble").hidden = true;
  if (wasLost) for (const callback of onReturn) callback();
}

/** Wait until a call that failed is worth another try. Other errors are thrown. */
export async function overcome(error) {
  if (needsToken(error)) return askForToken(error.tried);
  if (error.kind === "busy") return wait(error.seconds, error.message);
  if (error.kind === "network") return wait(Math.min(LONGEST_S, 2 ** failures++), error.message);
  throw error;
}

/** Return what `work` returns, however often the server has to be waited for. */
export async function patiently(work) {
  for (;;) {
    try {
      const result = await work();
      succeeded();
      return result;
    } catch (error) {
      await overcome(error);
    }
  }
}

/** Count the seconds down, unless the person or the network ends the wait. */
async function wait(seconds, message) {
  $("trouble").hidden = false;
  const start = message.replace(/[.\s]*$/, ".");
  for (let left = Math.ceil(seconds); left > 0; left--) {
    // The number is for eyes only: a screen reader would read each of them.
    say($("trouble-text"), start);
    $("trouble-text").append(Object.assign(document.createElement("span"), { textContent: ` Next try in ${left} s.`, ariaHidden: "true" }));
    const woken = await new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), 1000);
      wake = () => (clearTimeout(timer), resolve(true));
    });
    if (woken) break;
  }
  wake = null;
  say($("trouble-text"), `${start} Trying again…`);
}

/** Ask until the server takes a token; calls that need one at the same time wait for the same form. */
function askForToken(tried) {
  asking ??= untilAccepted(tried).finally(() => (asking = null));
  return asking;
}

async function untilAccepted(tried) {
  const dialog = $("token");
  // Escape closes a dialog whether or not "cancel" is refused, if nothing was clicked since.
  const reopen = () => (dialog.showModal(), $("token-text").focus());
  dialog.addEventListener("close", reopen);
  $("trouble").hidden = true;
  let wrong = tried ? WRONG : "";
  try {
    if (!dialog.open) dialog.showModal();
    for (;;) {
      say($("token-wrong"), wrong);
      $("token-text").focus();
      useToken(await submitted());
      try {
        await loadModel();
        return;
      } catch (error) {
        wrong = needsToken(error) ? WRONG : error.message;
      }
    }
  } finally {
    dialog.removeEventListener("close", reopen);
    dialog.close();
  }
}

$("token-form").addEventListener("submit", (event) => event.preventDefault());

function submitted() {
  return new Promise((resolve) => {
    $("token-form").addEventListener("submit", function sent() {
      const text = $("token-text").value.trim();
      if (!text) return say($("token-wrong"), "Type the token.");
      $("token-form").removeEventListener("submit", sent);
      $("token-text").value = "";
      resolve(text);
    });
  });
}
