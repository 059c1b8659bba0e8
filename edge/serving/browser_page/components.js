/** Connected parts of a mask, as in edge/data/components.py. */

/**
 * Return {labels, parts}: the parts whose pixels touch, at corners too, in the order of their first pixels.
 *
 * @param {Uint8Array} ink Contrast of each pixel; those of at least `threshold` are the mask.
 */
export function connectedParts(ink, width, height, threshold) {
  const labels = new Int32Array(ink.length).fill(-1);
  const parts = [];
  for (let start = 0; start < ink.length; start++) {
    if (ink[start] < threshold || labels[start] >= 0) continue;
    const part = { area: 0, mass: 0, perimeter: 0, top: height, bottom: 0, left: width, right: 0 };
    const stack = [start];
    labels[start] = parts.length;
    while (stack.length) grow(part, stack.pop(), stack);
    parts.push(part);
  }
  return { labels, parts };

  function grow(part, at, stack) {
    const [x, y] = [at % width, Math.floor(at / width)];
    part.area += 1;
    part.mass += ink[at];
    [part.left, part.right] = [Math.min(part.left, x), Math.max(part.right, x + 1)];
    [part.top, part.bottom] = [Math.min(part.top, y), Math.max(part.bottom, y + 1)];
    for (let down = -1; down <= 1; down++) {
      for (let across = -1; across <= 1; across++) {
        const outside = x + across < 0 || x + across >= width || y + down < 0 || y + down >= height;
        const next = at + down * width + across;
        if (outside || ink[next] < threshold) part.perimeter += down === 0 || across === 0 ? 1 : 0;
        else if (labels[next] < 0) {
          labels[next] = labels[at];
          stack.push(next);
        }
      }
    }
  }
}
