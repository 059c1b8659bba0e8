/** Elements and numbers. Text from outside becomes text nodes only. */

export const $ = (id) => document.getElementById(id);

/** Return a new element. `attributes` are set as attributes; children are elements, or text that stays text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Show a line in an element, or hide the element if there is none. */
export function say(element, text) {
  element.hidden = !text;
  if (element.textContent !== (text ?? "")) element.textContent = text ?? "";
}

/** Draw the box of what was taken for a digit over a picture, which stands in a `.framed`; `box` is in shares of it, or null. */
export function outline(image, box) {
  image.parentElement?.querySelector(".box")?.remove();
  if (!box || !image.naturalWidth || !image.parentElement) {
    if (box && image.parentElement) image.addEventListener("load", () => outline(image, box), { once: true });
    return;
  }
  // The picture keeps its proportions in the element, with bars at two sides.
  const [width, height] = [image.offsetWidth, image.offsetHeight];
  const scale = Math.min(width / image.naturalWidth, height / image.naturalHeight);
  const [across, down] = [scale * image.naturalWidth, scale * image.naturalHeight];
  const [left, top, right, bottom] = box;
  const places = [(height - down) / 2 + top * down, (width - across) / 2 + left * across];
  const sizes = [(right - left) * across, (bottom - top) * down];
  const drawn = make("i", { class: "box", "aria-hidden": "true" });
  [drawn.style.top, drawn.style.left] = places.map((place, i) => `${(100 * place) / [height, width][i]}%`);
  [drawn.style.width, drawn.style.height] = sizes.map((size, i) => `${(100 * size) / [width, height][i]}%`);
  image.after(drawn);
}

export function percent(share) {
  if (share > 0 && share < 0.0005) return "<\u00a00.1\u00a0%";
  if (share < 1 && share >= 0.9995) return ">\u00a099.9\u00a0%";
  return `${(100 * share).toFixed(1)}\u00a0%`;
}

export function duration(microseconds) {
  for (const [unit, size] of [["s", 1e6], ["ms", 1e3]]) {
    if (microseconds >= size) return `${digits(microseconds / size)}\u00a0${unit}`;
  }
  return `${digits(microseconds)}\u00a0µs`;
}

export function bytes(size) {
  for (const [unit, unitSize] of [["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (size >= unitSize) return `${digits(size / unitSize)}\u00a0${unit}`;
  }
  return `${size}\u00a0bytes`;
}

const digits = (number) => number.toFixed(number < 10 ? 2 : number < 100 ? 1 : 0);

export const several = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

const SIGNS = { PASS: "✓", FAIL: "✗" };

/** Show a verdict as a sign, a word and a colour. */
export function showStatus(element, status) {
  element.classList.remove("pass", "fail", "unsure");
  element.classList.add({ PASS: "pass", FAIL: "fail" }[status] ?? "unsure");
  element.replaceChildren(make("span", { "aria-hidden": "true" }, SIGNS[status] ?? "?"), ` ${status}`);
}
