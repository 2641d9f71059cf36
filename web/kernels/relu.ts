// A ReLU passes what is positive. Its way back is where the paper's gradient, the DeconvNet and
// guided back-propagation differ (§4), and it is the only place: the gradient asks whether the
// ReLU's input was positive, the DeconvNet whether the signal is, guided back-propagation both.

const BY_INPUT = 1;
const BY_SIGNAL = 2;

/** Set what is negative to 0, in place. */
export function rectify(values: usize, count: i32): void {
  const end = values + ((<usize>count) << 2);
  const zero = f32x4.splat(0);
  for (; values + 16 <= end; values += 16) v128.store(values, f32x4.max(v128.load(values), zero));
  for (; values < end; values += 4) store<f32>(values, max<f32>(load<f32>(values), 0));
}

/**
 * Set the signal to 0 where the rule does not let it pass, in place.
 *
 * `rule` is 1 for the gradient, 2 for the DeconvNet, 3 for guided back-propagation. `output` is
 * the ReLU's, which is positive where its input was.
 */
export function rectifyBack(signal: usize, output: usize, count: i32, rule: i32): void {
  const end = signal + ((<usize>count) << 2);
  const zero = f32x4.splat(0);
  for (; signal + 16 <= end; signal += 16) {
    let passed = v128.load(signal);
    const isPositive = f32x4.gt(passed, zero);
    if (rule & BY_INPUT) passed = v128.and(passed, f32x4.gt(v128.load(output), zero));
    if (rule & BY_SIGNAL) passed = v128.and(passed, isPositive);
    v128.store(signal, passed);
    output += 16;
  }
  for (; signal < end; signal += 4) {
    const passed = load<f32>(signal);
    const byInput = !(rule & BY_INPUT) || load<f32>(output) > 0;
    const bySignal = !(rule & BY_SIGNAL) || passed > 0;
    store<f32>(signal, byInput && bySignal ? passed : 0);
    output += 4;
  }
}
