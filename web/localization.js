// Localization (paper §3.2): from a map (height, width), at least 0, to one component of the
// pixels above a threshold and its bounding box. The threshold is a quantile of the map, or
// Otsu's. Fast enough for every move of a slider.

const LEVELS = 256;
const LEAST = 2 ** -23; // a smaller share of the pixels is no group

// the value below which a share of the values lies, between two of them interpolated
export function quantile(values, share) {
  const place = (values.length - 1) * share;
  const below = Math.floor(place);
  const rest = place - below;
  const ordered = values.slice();
  const a = selected(ordered, below);
  if (rest === 0) return a;
  // what stands behind it is not smaller, so the next in order is the smallest of that
  let b = Infinity;
  for (let i = below + 1; i < ordered.length; i++) if (ordered[i] < b) b = ordered[i];
  return rest < 0.5 ? a + (b - a) * rest : b - (b - a) * (1 - rest);
}

// The value that stands at a place in order, without ordering all (Hoare, 1961): values are
// exchanged until none before the place is larger and none behind it is smaller.
function selected(values, place) {
  let [first, last] = [0, values.length - 1];
  while (first < last) {
    const middle = values[place];
    let [i, j] = [first, last];
    while (i <= j) {
      while (values[i] < middle) i++;
      while (values[j] > middle) j--;
      if (i > j) break;
      const moved = values[i];
      values[i++] = values[j];
      values[j--] = moved;
    }
    if (j < place) first = i;
    if (i > place) last = j;
  }
  return values[place];
}

// Otsu (1979): the one of 256 levels for which the values within the two groups vary least,
// which is the one for which the means of the groups lie farthest apart
export function otsuThreshold(values) {
  const [low, high] = range(values);
  const step = Math.fround(255 / Math.fround(high - low));
  const counts = new Float64Array(LEVELS);
  for (const value of values) counts[Math.round(Math.fround(Math.fround(value - low) * step))]++;
  const shares = counts.map((count) => count / values.length);
  const mean = shares.reduce((sum, share, level) => sum + share * level, 0);
  let [best, farthest, lower, lowerSum] = [0, 0, 0, 0];
  shares.forEach((share, level) => {
    lower += share;
    lowerSum += share * level;
    const upper = 1 - lower;
    if (Math.min(lower, upper) < LEAST) return;
    const apart = lowerSum / lower - (mean - lowerSum) / upper;
    const between = lower * upper * apart * apart;
    if (between > farthest) [best, farthest] = [level, between];
  });
  return low + ((best + 0.5) * (high - low)) / 255;
}

// {box, mask, foreground} of a map of a size [height, width]. The mask is the component (pixels
// that touch, also at a corner) with the most saliency, or with the most pixels; the foreground
// all pixels above the threshold; the box [x0, y0, x1, y1] half-open. Masks are Uint8Array.
export function locate(values, size, threshold, { bySaliency = true } = {}) {
  range(values);
  const foreground = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) foreground[i] = values[i] > threshold ? 1 : 0;
  const left = foreground.slice(); // those that no component has yet
  const members = new Int32Array(values.length);
  let best = null;
  let most = 0;
  for (let first = 0; first < values.length; first++) {
    if (!left[first]) continue;
    const count = takeComponent(left, size, first, members);
    let sum = bySaliency ? 0 : count;
    for (let i = 0; bySaliency && i < count; i++) sum += values[members[i]];
    if (sum > most) [best, most] = [members.slice(0, count), sum];
  }
  if (!best) throw new Error("No object found: no pixel is above the threshold.");
  const mask = new Uint8Array(values.length);
  for (const at of best) mask[at] = 1;
  return { box: bounds(best, size[1]), mask, foreground };
}

// takes the pixels of the component of one of them; they stand in `members`, and their number is
// returned
function takeComponent(left, [height, width], first, members) {
  members[0] = first;
  left[first] = 0;
  let count = 1;
  for (let i = 0; i < count; i++) {
    const [at, x] = [members[i], members[i] % width];
    const [x0, x1] = [x > 0 ? -1 : 0, x < width - 1 ? 1 : 0];
    const [y0, y1] = [at >= width ? -width : 0, at < (height - 1) * width ? width : 0];
    for (let row = at + y0; row <= at + y1; row += width) {
      for (let beside = row + x0; beside <= row + x1; beside++) {
        if (!left[beside]) continue;
        left[beside] = 0;
        members[count++] = beside;
      }
    }
  }
  return count;
}

function bounds(pixels, width) {
  let [x0, y0, x1, y1] = [Infinity, Infinity, 0, 0];
  for (const at of pixels) {
    const [x, y] = [at % width, Math.floor(at / width)];
    x0 = Math.min(x0, x);
    y0 = Math.min(y0, y);
    x1 = Math.max(x1, x + 1);
    y1 = Math.max(y1, y + 1);
  }
  return [x0, y0, x1, y1];
}

// the lowest and the highest value of a map in which something can be found
function range(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low < 0) throw new Error("A map to threshold has no values below 0.");
  if (!(low < high)) throw new Error("No object found: the map is the same everywhere.");
  return [low, high];
}
