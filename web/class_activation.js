// Class activation maps (Zhou et al., 2016), as in deepinside.class_activation: what each position
// of the last activation adds to a class score, where a 1 x 1 convolution weighs its channels
// before the average over positions. Signed, in logits; with the bias.

export function classActivationMap(network, target) {
  const head = network.layers[network.head];
  if (head.kind !== "convolution" || head.taps !== 1) {
    throw new Error(
      `${network.description.name} has no class activation map: its ${head.name} has no positions`,
    );
  }
  network.forward(target);
  const [source] = head.reads;
  const activation = network.view(source);
  const [channels, ...size] = network.tensors.get(source).shape;
  const { weight, bias } = network.description.layers[network.head];
  const weights = network.weights.subarray(weight[0] + target * channels);
  const values = new Float32Array(size[0] * size[1]).fill(network.weights[bias[0] + target]);
  for (let channel = 0; channel < channels; channel++) {
    for (let i = 0; i < values.length; i++) {
      values[i] += weights[channel] * activation[channel * values.length + i];
    }
  }
  return { values, shape: size };
}
