// Receptive fields (paper §4, one neuron alone): the part of the image that a neuron depends on.

// The half-open box [x0, y0, x1, y1], cut off at the image's border, of the neuron at [row, column]
// of a layer. A layer of windows sees `size` pixels from `first` on, and those of its next position
// lie `step` pixels further; one without positions sees all.
export function receptiveField({ layers }, name, [row, column], [height, width]) {
  const fields = new Map([["input", [0, 1].map(() => ({ first: 0, size: 1, step: 1 }))]]);
  for (const layer of layers) {
    const read = layer.reads.map((source) => fields.get(source));
    fields.set(layer.name, fieldsOf(layer, read));
  }
  const [down, across] = fields.get(name);
  const ends = ({ first, size, step }, place, length) => {
    const start = first + step * place;
    return [Math.max(0, start), Math.min(length, start + size)];
  };
  const [[y0, y1], [x0, x1]] = [ends(down, row, height), ends(across, column, width)];
  return [x0, y0, x1, y1];
}

const ALL = { first: 0, size: Infinity, step: 0 };

// of one layer along both axes, from those of what it reads
function fieldsOf({ kind, kernel = [1, 1], stride = [1, 1], padding = [0, 0] }, read) {
  return [0, 1].map((axis) => {
    if (["linear", "average", "maximum", "flatten"].includes(kind)) return ALL;
    // joined channels may have several; the widest counts
    const widest = read.map((fields) => fields[axis]).reduce((a, b) => (b.size > a.size ? b : a));
    const { first, size, step } = widest;
    return {
      first: first - step * padding[axis],
      size: size + step * (kernel[axis] - 1),
      step: step * stride[axis],
    };
  });
}
