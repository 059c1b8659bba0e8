/** Numbers as Python and numpy compute them, so that a browser sees the picture that the model's own fit makes. */

/** Round to the nearest integer, halves to the even one, as Python's round(). */
export function rounded(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/** Return the median: the mean of the two middle numbers if they are even in number. */
export function median(values) {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Add numbers in numpy's order for a contiguous row of at most 128; `round` is Math.fround for float32. */
export function pairwiseSum(values, round) {
  if (values.length < 8) return values.reduce((sum, value) => round(sum + value), 0);
  const sums = Array.from(values.slice(0, 8));
  let at = 8;
  for (; at + 8 <= values.length; at += 8) for (let k = 0; k < 8; k++) sums[k] = round(sums[k] + values[at + k]);
  const [a, b, c, d, e, f, g, h] = sums;
  let sum = round(round(round(a + b) + round(c + d)) + round(round(e + f) + round(g + h)));
  for (; at < values.length; at++) sum = round(sum + values[at]);
  return sum;
}

/** Return the score of an answer, `raw` being the file's outputs, as scores() of edge/model/preprocess.py. */
export function scoreOf(raw, probabilities, kind) {
  const surest = Math.max(...probabilities);
  if (kind === "probability") return surest;
  // As float32: above a threshold of 1 are the margins that round to 1.
  if (kind === "margin") return Math.fround(surest - Float32Array.from(probabilities).sort().at(-2));
  const top = Math.max(...raw, ...(raw.length === 1 ? [0] : []));
  return kind === "max-logit" ? top : top - Math.log(surest);
}

/** Return whether a score is within a threshold's limits. */
export function reaches({ least, most }, score) {
  return score >= least && (most === null || score <= most);
}

/** Return the plane a + b x + c y nearest to points (x, y, value) by least squares, as [a, b, c]. */
export function fittedPlane(points) {
  const sums = [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]];
  for (const [x, y, value] of points) {
    const row = [1, x, y, value];
    for (let r = 0; r < 3; r++) for (let c = 0; c < 4; c++) sums[r][c] += row[r] * row[c];
  }
  return solved(sums);
}

/** Solve three equations by elimination. An unknown that they don't determine, as the slope along a single row, is 0. */
function solved(rows) {
  const free = [false, false, false];
  for (let k = 0; k < 3; k++) {
    if (Math.abs(rows[k][k]) < 1e-9) {
      free[k] = true;
      continue;
    }
    for (let r = 0; r < 3; r++) {
      if (r === k) continue;
      const share = rows[r][k] / rows[k][k];
      for (let c = 0; c < 4; c++) rows[r][c] -= share * rows[k][c];
    }
  }
  return rows.map((row, k) => (free[k] ? 0 : row[3] / row[k]));
}
