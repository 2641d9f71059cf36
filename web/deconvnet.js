// The three rules for the way back through a ReLU (paper §4), as in deepinside.deconvnet: by which
// number kernels/relu.ts knows each, and what it is called.

export const RULES = { gradient: 1, deconvnet: 2, guided: 3 };
export const RULE_TITLES = {
  gradient: "Gradient",
  deconvnet: "DeconvNet",
  guided: "Guided back-propagation",
};
