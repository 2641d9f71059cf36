// What the panel "Your photo" shows: the photo with mask and box, the maps beside it, the best
// classes, and what the brush took away beside what the gradient promised.

import { promise, topClasses } from "../class_score.js";
import { RULE_TITLES } from "../deconvnet.js";
import { COLORS, colored, pixelsOf } from "../images.js";
import { correlationOfRanks, ranks } from "../limits.js";
import * as parts from "./parts.js";
import { MAPS, endOf } from "./photo_maps.js";
import { boxOver, shade } from "./threshold.js";

export const KEYS = "Arrow keys move the brush, Enter takes away what is under it.";

const withMinus = (text) => (Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−"));
const number = (value) => withMinus(value.toFixed(2));
const change = (value) => (value > 0 ? `+${number(value)}` : number(value));
const percent = (share) => (share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`);

// `choose(index)` is called when a class is clicked; `layers` are those with weights
export function photoView({ shape, names, layers, choose }) {
  const width = shape[2];
  const photo = parts.picture();
  const box = boxOver(photo.drawing);
  const maps = [];
  const pictures = parts.shown(photo.root);
  pictures.classList.add("pg-kept-in-view");
  const bet = parts.element("div", { className: "pg-numbers" });
  let listed = [];
  const bars = parts.bars({
    label: "Classes with their scores and probabilities",
    columns: [
      { title: "score", word: number },
      { title: "probability", range: [0, 1], word: percent },
    ],
    choose: (row) => choose(listed[row].index),
  });

  // with mask and box where `find` has them, or an error that says why there is none
  function showPhoto({ title, image }, find, isBrushing) {
    const pixels = pixelsOf(image, shape[0]);
    let words = `${title}, the middle`;
    box.show(null);
    try {
      const found = find?.();
      if (found) {
        shade(pixels, found);
        box.show(found.box);
        const [x0, y0, x1, y1] = found.box;
        words += `; box x ${x0} to ${x1}, y ${y0} to ${y1}`;
      }
    } catch ({ message }) {
      words += `; ${message}`;
    }
    photo.show({ pixels, shape, caption: words, alt: isBrushing ? `${words}. ${KEYS}` : words });
    return words;
  }

  // maps of classes of one network share a scale; random weights have one of their own
  function showMaps({ photo: { edgeRanks }, kind, rule, figures, results, count }) {
    const { title, unit, isSigned, hasNoRule } = MAPS[kind];
    const values = results.map((result) => result.values);
    const shared = endOf(values.filter((_, i) => !figures[i].random));
    const orders = figures.length > 1 ? values.map((map) => ranks(map.map(Math.abs))) : [];
    while (maps.length < figures.length) {
      maps.push(parts.picture());
      pictures.append(maps.at(-1).root);
    }
    maps.forEach(({ root }, i) => (root.hidden = i >= figures.length));
    figures.forEach(({ target, random, passes }, i) => {
      const end = random ? endOf([values[i]]) : shared;
      const high = Number(end.toPrecision(2));
      const told = [`${title}: ${names[target]}`];
      if (!hasNoRule && rule !== "gradient") told.push(RULE_TITLES[rule]);
      if (passes > 1) told.push(`${Math.min(count, passes)} passes`);
      if (random) told.push(`${random} of ${layers} layers random`);
      if (i > 0 && !values[i].some(Boolean)) told.push("zero everywhere");
      else if (i > 0) {
        const others = { "the first map": orders[0], ...(random && { "the photo’s edges": edgeRanks() }) };
        told.push(correlations(orders[i], others, isSigned));
      }
      maps[i].show({
        pixels: colored(values[i], end, { signed: isSigned }),
        shape,
        caption: told.join(", "),
        alt: `Map: ${told.join(", ")}; ${place(values[i], width)}`,
        scale: {
          colors: COLORS[isSigned ? "RdBu_r" : "magma"],
          low: isSigned ? `−${high}` : "0",
          high: `${high} ${unit}`,
        },
      });
    });
  }

  // the five best classes, and those asked for
  function showClasses({ figures, scores }) {
    const all = topClasses(scores, names, names.length);
    const asked = figures.map(({ target }) => target);
    listed = all.filter(({ index }, rank) => rank < 5 || asked.includes(index));
    const rows = listed.map(({ name, score, probability }) => ({ name, values: [score, probability] }));
    bars.show(rows, listed.findIndex(({ index }) => index === asked[0]));
    const { name, score, probability } = all.find(({ index }) => index === asked[0]);
    return `${name}: score ${number(score)}, probability ${percent(probability)}`;
  }

  function showBet({ figures: [{ target }], scores, image, whole, tangent }) {
    if (!tangent) return bet.replaceChildren();
    const pairs = [
      [`score of ${names[target]}: whole photo`, number(tangent.score)],
      ["now", number(scores[target])],
      ["promised change (signal × change)", change(promise(tangent.signal, whole, image))],
      ["real change", change(scores[target] - tangent.score)],
    ];
    const cells = pairs.map(([name, value]) =>
      parts.element("div", {}, parts.element("span", {}, name), parts.element("strong", {}, value)),
    );
    bet.replaceChildren(...cells);
    return `Promised change ${pairs[2][1]}, real change ${pairs[3][1]}`;
  }

  return { photo, pictures, bars, bet, showPhoto, showMaps, showClasses, showBet };
}

// of a map with others, by the ranks of their magnitudes
function correlations(order, others, isSigned) {
  const each = Object.entries(others).map(([name, other]) => {
    const rank = correlationOfRanks(order, other);
    return `with ${name} ${rank === null ? "none" : number(rank)}`;
  });
  return `rank correlation ${isSigned ? "of magnitudes " : ""}${each.join(", ")}`;
}

// where a map is highest, in words
function place(values, width) {
  const highest = values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
  if (values[highest] <= 0) return "nowhere above 0";
  return `highest at x ${highest % width}, y ${Math.floor(highest / width)}`;
}
