// The maps of the panel "Your photo", each of one class on one network: of one pass (paper §3.1,
// §4; CAM), or means that grow pass by pass (ten crops, SmoothGrad).

import { largest, resample, taps } from "../images.js";
import { quantile } from "../localization.js";
import { Generator } from "../random.js";
import {
  CropMean,
  RunningMean,
  crop,
  cropPlaces,
  magnitude,
  noisy,
  signed,
  timesInput,
} from "../saliency.js";

const NOISE = 0.15; // standard deviation of SmoothGrad's noise, as in deepinside.saliency
const END = 0.99; // the quantile of a map's magnitudes at which its scale ends
const PER_INTENSITY = "score per intensity";

const signalAt = (image, { ask, target, rule, random }) =>
  ask({ do: "signal", image, target, rule, random });

// of one signal, at the image itself
function ofOneSignal(mapOf) {
  return (given) => ({
    passes: 1,
    async grow() {
      const { signal, scores } = await signalAt(given.image, given);
      return { values: mapOf(signal, given.image, given.shape[0]), scores };
    },
  });
}

// the mean over crops of the whole photo and their mirror images, where the image lies
function tenCrops(given) {
  const { shape, whole, view } = given;
  const [channels, ...size] = shape;
  const resized = [channels, ...view.resizedSize];
  const places = cropPlaces(view.resizedSize, size);
  const crops = places.flatMap((place) => [false, true].map((mirrored) => [place, size, mirrored]));
  const photo = withMiddle(whole(), given.image, view, channels);
  const mean = new CropMean(view.resizedSize);
  let done = 0;
  return {
    passes: crops.length,
    async grow() {
      const one = crops[done++];
      const { signal } = await signalAt(crop(photo, resized, ...one), given);
      mean.add(magnitude(signal, channels), ...one);
      return { values: crop(mean.mean, [1, ...view.resizedSize], [view.top, view.left], size) };
    },
  };
}

// the resized photo with the image, of which parts may be taken away, in its place
function withMiddle(photo, image, { resizedSize: [height, width], top, left, size: [h, w] }, channels) {
  const changed = photo.slice();
  for (let row = 0; row < channels * h; row++) {
    const [c, y] = [Math.floor(row / h), row % h];
    changed.set(image.subarray(row * w, (row + 1) * w), (c * height + top + y) * width + left);
  }
  return changed;
}

function smoothGrad(given) {
  const generator = new Generator(0);
  const mean = new RunningMean(given.image.length);
  return {
    passes: Infinity,
    async grow() {
      const { signal } = await signalAt(noisy(given.image, NOISE, generator), given);
      mean.add(signal);
      return { values: magnitude(mean.mean, given.shape[0]) };
    },
  };
}

// a value for each position of the last activation, enlarged bilinearly to the image
function classActivation({ ask, image, shape, target, random }) {
  return {
    passes: 1,
    async grow() {
      const { values, shape: [h, w] } = await ask({ do: "cam", image, target, random });
      const low = Math.min(...values);
      const spread = Math.max(...values) - low || 1;
      // `resample` keeps to [0, 1]
      const shares = values.map((value) => (value - low) / spread);
      const rowOf = (y) => shares.subarray(y * w, (y + 1) * w);
      const large = resample(rowOf, 1, taps(h, shape[1]), taps(w, shape[2]));
      return { values: large.map((share) => low + share * spread) };
    },
  };
}

// `begin(given)` returns {passes, grow()}; `grow` makes one pass and returns {values}, and the scores
// of the image where the map `hasScores`. `given` is {ask, image, shape, target, rule, random} and, of
// the photo, {whole(), view}: its resized whole, and where the image lies in it.
export const MAPS = {
  saliency: {
    title: "Saliency",
    how: "largest magnitude over colors",
    begin: ofOneSignal((signal, _, channels) => magnitude(signal, channels)),
    unit: PER_INTENSITY,
    hasScores: true,
  },
  signed: {
    title: "Signed",
    how: "sum over colors",
    begin: ofOneSignal((signal, _, channels) => signed(signal, channels)),
    unit: PER_INTENSITY,
    isSigned: true,
    hasScores: true,
  },
  input: {
    title: "× input",
    how: "signal times intensity",
    begin: ofOneSignal(timesInput),
    unit: "score",
    isSigned: true,
    hasScores: true,
  },
  ten_crops: {
    title: "Ten crops",
    how: "mean of their saliency",
    begin: tenCrops,
    unit: PER_INTENSITY,
    isMean: true,
  },
  smooth_grad: {
    title: "SmoothGrad",
    how: "mean over noisy copies",
    begin: smoothGrad,
    unit: PER_INTENSITY,
    isMean: true,
  },
  cam: {
    title: "CAM",
    how: "class activation map",
    begin: classActivation,
    unit: "score",
    isSigned: true,
    hasNoRule: true,
  },
};

// Where the scale ends that maps share: at the 99th percentile of their magnitudes, or, where more
// than that is zero, at the largest.
export function endOf(maps) {
  const ends = maps.map((values) => quantile(values.map(Math.abs), END));
  return Math.max(...ends) || Math.max(...maps.map((values) => largest(values)));
}
