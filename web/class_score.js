// Class scores (paper §2): soft-max, the best classes, what the gradient promises of a change,
// and finding a class by what is typed.

// P_c = exp(S_c) / sum over k of exp(S_k)
export function softmax(scores) {
  let highest = -Infinity;
  for (const score of scores) highest = Math.max(highest, score);
  // the same factor above and below the fraction, so that no exponential overflows
  const raised = Float64Array.from(scores, (score) => Math.exp(score - highest));
  const sum = raised.reduce((a, b) => a + b, 0);
  return raised.map((value) => value / sum);
}

// [{index, name, score, probability}] of the highest scores, best first
export function topClasses(scores, classNames, count = 5) {
  const probabilities = softmax(scores);
  const order = Array.from(scores, (_, index) => index).sort((a, b) => scores[b] - scores[a] || a - b);
  return order.slice(0, count).map((index) => ({
    index,
    name: classNames[index],
    score: scores[index],
    probability: probabilities[index],
  }));
}

// what the tangent promises: the sum of signal times change (§3.1), of the score
export function promise(signal, before, after) {
  let sum = 0;
  for (let i = 0; i < signal.length; i++) sum += signal[i] * (after[i] - before[i]);
  return sum;
}

const folded = (text) => text.trim().replace(/\s+/g, " ").toLowerCase();
// a hot dog is a hotdog
const joined = (name) => name.replace(/(?<=\p{L})[ '’-]+(?=\p{L})/gu, "");

// how a name may have what is typed, the likeliest first
const [WORD, FIRST, BEGINS, ENDS, INSIDE] = [2, 3, 4, 5, 6];
const OFFERED = 5; // names that an error offers

// indices of the classes that what is typed may mean, the likeliest first: its index or exact name,
// its name, a word of the name, its beginning, that of a word, the end of a word, any part of the
// name; else names that share a word with it; else those spelled like it
export function findClasses(typed, classNames, count = 8) {
  const wanted = folded(typed);
  if (!wanted) return [];
  const names = classNames.map(folded);
  const groups = Array.from({ length: INSIDE + 1 }, () => []);
  names.forEach((name, index) => {
    const isIt = wanted === String(index) || classNames[index] === typed.trim();
    const how = isIt ? 0 : joined(name) === joined(wanted) ? 1 : placeIn(name, wanted);
    groups[how]?.push(index);
  });
  const found = [groups.flat(), sharingWords(wanted, names)].find((some) => some.length);
  return (found ?? nearest(wanted, names)).slice(0, count);
}

// the index of a class given by its index or its name, in any case (a Cardigan is a dog, a
// cardigan is none), with or without spaces
export function classIndex(typed, classNames) {
  const [given, wanted] = [typed.trim(), folded(typed)];
  const names = classNames.map(folded);
  const bearing = (list, name) => list.flatMap((one, index) => (one === name ? [index] : []));
  const found = [
    bearing(classNames, given),
    bearing(names, wanted),
    bearing(names.map(joined), joined(wanted)),
  ].find((some) => some.length);
  if (found?.length === 1) return found[0];
  if (found) {
    const which = `${found.length} classes are called “${given}”`;
    throw new Error(`${which}: give the number, ${found.join(" or ")}.`);
  }
  if (/^\d+$/.test(wanted) && Number(wanted) < names.length) return Number(wanted);
  throw new Error(`No class is called “${given}”.${offer(wanted, names, classNames)}`);
}

// what an error says of the names that may be meant
function offer(wanted, names, classNames) {
  const having = [WORD, FIRST, BEGINS, ENDS].flatMap((how) =>
    names.flatMap((name, index) => (wanted && placeIn(name, wanted) === how ? [index] : [])),
  );
  const [words, found] = [
    ["Names that have it:", having],
    ["Names that have a word of it:", sharingWords(wanted, names)],
    ["The nearest in spelling are", nearest(wanted, names)],
  ].find(([, some]) => some.length) ?? ["", []];
  const called = [...new Set(found.map((index) => classNames[index]))];
  if (!called.length) return "";
  return ` ${words} ${called.slice(0, OFFERED).join(", ")}${called.length > OFFERED ? ", …" : "."}`;
}

const isLetter = (sign = "") => /[\p{L}\p{N}]/u.test(sign);

// the best of the ways in which a name has what is typed, Infinity where it has not
function placeIn(name, wanted) {
  let best = Infinity;
  for (let at = name.indexOf(wanted); at >= 0; at = name.indexOf(wanted, at + 1)) {
    const begins = !isLetter(name[at - 1]);
    const ends = !isLetter(name[at + wanted.length]);
    const how = begins ? (ends ? WORD : at ? BEGINS : FIRST) : ends ? ENDS : INSIDE;
    best = Math.min(best, how);
  }
  return best;
}

// the names that have a word of several that are typed: first those that have the largest share in
// common, of equal ones those spelled most alike
function sharingWords(wanted, names) {
  const wordsOf = (name) => name.match(/[\p{L}\p{N}]+/gu) ?? [];
  const typed = new Set(wordsOf(wanted));
  if (typed.size < 2) return [];
  return names
    .map((name, index) => {
      const words = new Set(wordsOf(name));
      const common = [...words].filter((word) => typed.has(word)).length;
      const share = common / (typed.size + words.size);
      return { index, share, likeness: share && likeness(name, wanted) };
    })
    .filter(({ share }) => share)
    .sort((a, b) => b.share - a.share || b.likeness - a.likeness)
    .map(({ index }) => index);
}

// up to three names spelled most alike, as Python's difflib finds them
function nearest(wanted, names) {
  return names
    .map((name, index) => ({ name, index, likeness: likeness(name, wanted) }))
    .filter((one) => one.likeness >= 0.6)
    .sort((a, b) => b.likeness - a.likeness || (a.name < b.name) - (a.name > b.name))
    .slice(0, 3)
    .map((one) => one.index);
}

// twice the letters in common over all letters; in common are the longest common part, the
// longest on its left, the longest on its right, and so on (Ratcliff and Obershelp)
function likeness(a, b) {
  return a.length + b.length ? (2 * lettersInCommon(a, b)) / (a.length + b.length) : 1;
}

function lettersInCommon(a, b) {
  let [longest, endA, endB] = [0, 0, 0];
  let before = new Uint16Array(b.length + 1);
  for (let i = 1; i <= a.length; i++) {
    const row = new Uint16Array(b.length + 1);
    for (let j = 1; j <= b.length; j++) {
      if (a[i - 1] !== b[j - 1]) continue;
      row[j] = before[j - 1] + 1;
      if (row[j] > longest) [longest, endA, endB] = [row[j], i, j];
    }
    before = row;
  }
  if (!longest) return 0;
  const left = lettersInCommon(a.slice(0, endA - longest), b.slice(0, endB - longest));
  return longest + left + lettersInCommon(a.slice(endA), b.slice(endB));
}
