"""The package of the book *Deep Inside ConvNets*.

Where to find each part of the paper:

========================  ============================================================
the input                 `images`, `networks`; `digits`, `squeezenet`
class scores, §2          `class_score`
class models, §2          `class_model`; what later work adds: `regularizers`
saliency maps, §3.1       `saliency`
localization, §3.2        `localization`; its maps: `object_maps`, `stages`; `measures`
DeconvNet, §4             `deconvnet`; as a network of its own: `backward_network`
later methods             `class_activation`, `integrated_gradients`, `occlusion`
tests of maps             `limits`
figures                   `plots`
the explorers             `explorers`
exercises                 `classroom`
========================  ============================================================

`inference` makes networks fast, `evaluation` measures localization on folders of photos;
``python -m deepinside --help`` lists the commands.
"""

__version__ = "0.2.0.dev0"
