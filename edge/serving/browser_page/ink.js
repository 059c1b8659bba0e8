/** Where a picture has ink, as in edge/data/ink.py, whose comments give the reasons. */

export const DARKEST = 48;
const [LINE_THICK, LINE_SHARE, LINE_ENDS] = [[4, 6], 0.4, 0.15];
const SLOPE = 11;

/** Return how much each pixel differs from the paper around it, 0 to 255: a Uint8Array. */
export function contrast({ width, height, pixels }, window, dark) {
  const levels = dark ? pixels : pixels.map((value) => 255 - value);
  const paper = closed(levels, width, height, window);
  return levels.map((value, i) => {
    const difference = paper[i] - value;
    return dark ? Math.floor((difference * 255) / Math.max(paper[i], DARKEST)) : difference;
  });
}

/** Return the closing by a square, which may reach beyond the picture. */
function closed(levels, width, height, window) {
  const [across, down] = [width + 2 * window - 2, height + 2 * window - 2];
  const padded = new Uint8Array(across * down);
  for (let y = 0; y < height; y++) {
    padded.set(levels.subarray(y * width, (y + 1) * width), (y + window - 1) * across + window - 1);
  }
  for (const largest of [true, false]) for (const step of [across, 1]) slide(padded, window, step, largest);
  const made = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) made.set(padded.subarray(y * across, y * across + width), y * width);
  return made;
}

/** Replace each value by the extreme of it and those that follow in its row or column, so many in all. */
function slide(values, window, step, largest) {
  for (let width = 1; width < window; ) {
    const further = Math.min(width, window - width);
    for (let i = 0, j = further * step; j < values.length; i++, j++) {
      if (largest ? values[j] > values[i] : values[j] < values[i]) values[i] = values[j];
    }
    width += further;
  }
}

/** Return the places of ink of at least `threshold` that belong to long, thin, straight lines. */
export function printedLines(ink, width, height, threshold) {
  for (const thickness of LINE_THICK) {
    const across = levelLines(ink, width, height, threshold, thickness, width, 1);
    const down = levelLines(ink, height, width, threshold, thickness, 1, width);
    if (across.length + down.length > 0) return [...across, ...down];
  }
  return [];
}

/** Lines at most `thickness` thick along an axis of `length` places, each `along` apart, with `breadth` places across it, each `across` apart. */
function levelLines(ink, length, breadth, threshold, thickness, across, along) {
  const runs = [];
  for (let x = 0; x < length; x++) {
    for (let y = 0; y < breadth; y++) {
      const first = y;
      while (y < breadth && ink[y * across + x * along] >= threshold) y++;
      if (y > first && y - first <= thickness) runs.push({ x, y: (first + y) >> 1, first, last: y, line: false });
    }
  }
  const ends = [(x) => true, (x) => x < LINE_ENDS * length, (x) => x >= (1 - LINE_ENDS) * length];
  for (let slope = -SLOPE; slope <= SLOPE; slope++) {
    const offset = ({ x, y }) => Math.floor((64 * y - slope * x + 32 * length + 32) / 64);
    const [all, begun, ended] = ends.map((within) => {
      const votes = new Int32Array(length + breadth + 2);
      for (const run of runs) if (within(run.x)) votes[offset(run)] += 1;
      return withinOne(votes);
    });
    const lines = withinOne(all.map((count, i) => (count >= LINE_SHARE * length && begun[i] > 0 && ended[i] > 0 ? 1 : 0)));
    for (const run of runs) run.line ||= lines[offset(run)] > 0;
  }
  return runs.flatMap(({ x, first, last, line }) => {
    return line ? Array.from({ length: last - first }, (_, i) => (first + i) * across + x * along) : [];
  });
}

/** Add to each number its neighbours. */
const withinOne = (counts) => counts.map((count, i) => count + (counts[i - 1] ?? 0) + (counts[i + 1] ?? 0));
