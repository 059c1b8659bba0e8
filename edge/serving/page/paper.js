/** A sheet of paper to draw on, with a finger, a pen, a mouse or the keyboard. */

import { $, several } from "./dom.js";

/** Size of the picture that is classified, and its margin, in pixels: a server sees as much in larger ones. */
const PICTURE = 320;
const MARGIN = 20;
const INK = "#10151c";
/** Closer points than this share of the paper add nothing to a line. */
const NEAR = 0.004;
const STEP = 1 / 40;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Paper {
  /** It grows with every stroke that is begun or removed: answers to an older drawing are out of date. */
  drawing = 0;
  /** It grows with every change of the drawing. */
  moment = 0;
  #changed;
  #board = $("paper");
  #canvas = $("ink");
  #strokes = [];
  #stroke = null;
  #pointer = null;
  #frame = 0;
  #pen = { x: 0.5, y: 0.5, down: false };
  #held = new Set();
  #saying = 0;

  /** @param {() => void} changed Called after every change. */
  constructor(changed) {
    this.#changed = changed;
    this.#listen();
    new ResizeObserver(() => this.#repaint()).observe(this.#board);
    $("width").addEventListener("input", () => this.#showWidth());
    this.#showWidth();
  }

  get empty() {
    return this.#strokes.length === 0;
  }

  /** Return the drawing as a PNG, black on white. */
  picture() {
    const canvas = Object.assign(document.createElement("canvas"), { width: PICTURE, height: PICTURE });
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, PICTURE, PICTURE);
    context.translate(MARGIN, MARGIN);
    this.#paint(context, PICTURE - 2 * MARGIN, "#000");
    return new Promise((resolve, reject) => {
      canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("This browser can't make a picture of the drawing."))));
    });
  }

  undo() {
    if (this.empty) return;
    this.#lift();
    this.#strokes.pop();
    this.#anew(this.empty ? "The paper is empty." : `Undone, ${several(this.#strokes.length, "stroke")} left.`);
  }

  clear() {
    if (this.empty) return;
    this.#lift();
    this.#strokes = [];
    this.#anew("The paper is empty.");
  }

  #listen() {
    const board = this.#board;
    board.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || this.#pointer !== null) return;
      event.preventDefault(); // No selection, and no focus ring around a paper that a hand draws on.
      this.#lift();
      this.#pointer = event.pointerId;
      board.setPointerCapture(event.pointerId);
      $("pen").hidden = true;
      this.#begin(this.#at(event));
    });
    board.addEventListener("pointermove", (event) => {
      if (event.pointerId !== this.#pointer) return;
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length ? events : [event]) this.#extend(this.#at(each));
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      board.addEventListener(name, (event) => {
        if (event.pointerId === this.#pointer) this.#pointer = this.#stroke = null;
      });
    }
    board.addEventListener("keydown", (event) => this.#key(event));
    board.addEventListener("keyup", (event) => this.#held.delete(event.key));
    board.addEventListener("focus", () => this.#showPen(board.matches(":focus-visible")));
    board.addEventListener("blur", () => {
      this.#lift();
      this.#held.clear();
      this.#showPen(false);
    });
    $("undo").addEventListener("click", () => this.undo());
    $("clear").addEventListener("click", () => this.clear());
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      if (event.key.toLowerCase() === "z" && !event.altKey && !event.shiftKey) event.preventDefault(), this.undo();
      return;
    }
    if (event.key in ARROWS) this.#steer(event);
    else if (event.key === " ") !event.repeat && this.#toggle();
    else if (event.key === "Backspace") this.undo();
    else if (event.key === "Delete") this.clear();
    else return;
    event.preventDefault();
    this.#showPen(true);
  }

  #steer(event) {
    this.#held.add(event.key);
    const reach = event.shiftKey ? 4 * STEP : STEP;
    const pen = this.#pen;
    for (const key of this.#held) {
      pen.x = inside(pen.x + reach * ARROWS[key][0]);
      pen.y = inside(pen.y + reach * ARROWS[key][1]);
    }
    if (pen.down) this.#extend(pen);
    clearTimeout(this.#saying);
    this.#saying = setTimeout(() => this.#say(`${Math.round(100 * pen.x)} right, ${Math.round(100 * pen.y)} down.`), 500);
  }

  #toggle() {
    if (this.#pen.down) this.#lift();
    else {
      this.#pen.down = true;
      this.#begin(this.#pen);
    }
    this.#say(this.#pen.down ? "Pen down." : "Pen up.");
  }

  #lift() {
    this.#pen.down = false;
    this.#stroke = null;
    $("pen").classList.remove("down");
  }

  #begin({ x, y }) {
    this.#stroke = { width: this.#width(), points: [{ x, y }] };
    this.#strokes.push(this.#stroke);
    this.#anew();
  }

  #extend({ x, y }) {
    const last = this.#stroke?.points.at(-1);
    if (!last || Math.hypot(x - last.x, y - last.y) < NEAR) return;
    this.#stroke.points.push({ x, y });
    this.#change();
  }

  #anew(said = null) {
    this.drawing++;
    this.#change();
    if (said) this.#say(said);
  }

  #change() {
    this.moment++;
    $("hint").hidden = !this.empty;
    $("undo").disabled = $("clear").disabled = this.empty;
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#repaint());
    this.#changed();
  }

  #at(event) {
    const box = this.#board.getBoundingClientRect();
    return { x: inside((event.clientX - box.left) / box.width), y: inside((event.clientY - box.top) / box.height) };
  }

  /** Return the pen's width as a share of the paper's. */
  #width() {
    return $("width").value / 280;
  }

  #showWidth() {
    const size = `${$("width").value / 1.6}px`;
    Object.assign($("dot").style, { width: size, height: size });
  }

  #showPen(shown) {
    const { x, y, down } = this.#pen;
    const pen = $("pen");
    pen.hidden = !shown;
    pen.classList.toggle("down", down);
    Object.assign(pen.style, { left: `${100 * x}%`, top: `${100 * y}%` });
  }

  #say(text) {
    clearTimeout(this.#saying);
    $("pen-said").textContent = text;
  }

  #repaint() {
    this.#frame = 0;
    const size = Math.round(this.#board.clientWidth * (window.devicePixelRatio || 1));
    if (!size) return; // Another tab is shown.
    if (this.#canvas.width !== size) this.#canvas.width = this.#canvas.height = size;
    const context = this.#canvas.getContext("2d");
    context.clearRect(0, 0, size, size);
    this.#paint(context, size, INK);
  }

  #paint(context, size, colour) {
    Object.assign(context, { lineCap: "round", lineJoin: "round", strokeStyle: colour });
    for (const { width, points } of this.#strokes) {
      context.lineWidth = width * size;
      context.beginPath();
      curve(context, points.map(({ x, y }) => ({ x: x * size, y: y * size })));
      context.stroke();
    }
  }
}

const inside = (share) => Math.min(1, Math.max(0, share));

/** A smooth line: the points are where its curves would meet, and the middles between them are where they do. */
function curve(context, points) {
  const [first] = points;
  const last = points.at(-1);
  context.moveTo(first.x, first.y);
  for (let i = 1; i < points.length - 1; i++) {
    const { x, y } = points[i];
    context.quadraticCurveTo(x, y, (x + points[i + 1].x) / 2, (y + points[i + 1].y) / 2);
  }
  // A line without length would not be painted: a single point becomes a dot.
  context.lineTo(last.x + (points.length === 1 ? 0.01 : 0), last.y);
}
