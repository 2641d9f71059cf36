// A fully connected layer: a matrix, one row an output. Its way back is the transposed matrix.

/** Each row's product with the input, and its bias. */
export function multiply(
  input: usize, inputs: i32, matrix: usize, bias: usize, outputs: i32, output: usize,
): void {
  for (let i = 0; i < outputs; i++) {
    let sums = f32x4.splat(0);
    let k = 0;
    for (; k + 4 <= inputs; k += 4) {
      const place = (<usize>k) << 2;
      sums = f32x4.add(sums, f32x4.mul(v128.load(matrix + place), v128.load(input + place)));
    }
    let sum = f32x4.extract_lane(sums, 0) + f32x4.extract_lane(sums, 1)
      + f32x4.extract_lane(sums, 2) + f32x4.extract_lane(sums, 3);
    for (; k < inputs; k++) {
      const place = (<usize>k) << 2;
      sum += load<f32>(matrix + place) * load<f32>(input + place);
    }
    store<f32>(output, sum + load<f32>(bias));
    matrix += (<usize>inputs) << 2;
    bias += 4;
    output += 4;
  }
}

/** The sum of the matrix's rows, each times its output's signal. */
export function multiplyBack(
  signal: usize, outputs: i32, matrix: usize, inputs: i32, output: usize, add: bool,
): void {
  if (!add) memory.fill(output, 0, (<usize>inputs) << 2);
  for (let i = 0; i < outputs; i++) {
    const weight = load<f32>(signal);
    const all = f32x4.splat(weight);
    let k = 0;
    for (; k + 4 <= inputs; k += 4) {
      const place = (<usize>k) << 2;
      const product = f32x4.mul(all, v128.load(matrix + place));
      v128.store(output + place, f32x4.add(v128.load(output + place), product));
    }
    for (; k < inputs; k++) {
      const place = (<usize>k) << 2;
      store<f32>(output + place, load<f32>(output + place) + weight * load<f32>(matrix + place));
    }
    signal += 4;
    matrix += (<usize>inputs) << 2;
  }
}
