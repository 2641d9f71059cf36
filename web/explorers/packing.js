// An answer as an explorer's face takes it: deepinside.explorers.packing, for one answer. A panel is
// {title, alt, size: [height, width] of a frame, pixels: RGBA of all frames side by side, frames};
// numbers are pairs of texts; a curve is {title, steps, values}.

// three digits of a number, or null where it is none: as in the grid
const rounded = (value) => (Number.isFinite(value) ? Number(value.toPrecision(3)) : null);

function pictureOf({ size: [height, width], pixels, frames = 1 }) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width * frames, height];
  canvas.getContext("2d").putImageData(new ImageData(pixels, width * frames, height), 0, 0);
  return canvas.toDataURL();
}

export function packed({ panels, numbers, curve }) {
  const [pictures, texts] = [[], []];
  const place = (table, value) => table.push(value) - 1;
  const answer = [
    panels.map((panel) => {
      const { title, alt, size, frames = 1 } = panel;
      const picture = place(pictures, pictureOf(panel));
      return [place(texts, title), place(texts, alt), size, picture, -1, [], [], size, frames];
    }),
    numbers.map((pair) => pair.map((text) => place(texts, text))),
  ];
  if (curve) answer.push([place(texts, curve.title), curve.steps, curve.values.map(rounded)]);
  return { answer, pictures, texts };
}
