"""Helpers of the book *Deep Inside ConvNets*.

Which module has which part of the paper:

========================  ============================================================
what goes in              `images`, `networks`; `digits`, `squeezenet`
class scores, §2          `class_score`
class models, §2          `class_model`; what later work adds: `regularizers`
saliency maps, §3.1       `saliency`
localization, §3.2        `localization`; its maps: `object_maps`, `stages`; `measures`
DeconvNet, §4             `deconvnet`; the way back as a network: `backward_network`
what came later           `class_activation`, `integrated_gradients`, `occlusion`
what a map is tested by   `limits`
figures                   `plots`
the explorers             `explorers`
exercises                 `classroom`
========================  ============================================================

`inference` makes networks fast, `evaluation` measures localization on folders of photos;
``python -m deepinside --help`` lists the commands.
"""

__version__ = "0.2.0.dev0"
