"""Names that other packages give to methods that are not here, and the nearest that is: for suggestions alone."""

from __future__ import annotations

NEAR = {
    "eigengradcam": "eigencam", "kpca-cam": "eigencam", "segeigencam": "eigencam", "finercam": "gradcam",
    "shapleycam": "gradcam", "refinecam": "gradcam", "smooth-gradcam++": "gradcam++", "ss-cam": "scorecam",
    "is-cam": "scorecam", "groupcam": "scorecam",
    "sobol": "rise", "sobol-attribution-method": "rise", "hsic": "rise", "hsic-attribution-method": "rise",
    "vargrad": "smoothgrad", "smoothgrad-squared": "smoothgrad", "square-grad": "smoothgrad", "noise-tunnel": "smoothgrad",
    "feature-permutation": "qii", "permutation": "shapley-sampling",
    "permutation-explainer": "shapley-sampling", "partition-explainer": "bshap", "partition": "bshap", "owen": "bshap",
    "shap": "kernelshap", "shapley": "bshap", "exact-explainer": "bshap", "shapley-values": "bshap",
    "sampling-explainer": "shapley-sampling", "tree-explainer": "kernelshap", "anchors": "lime",
    "sliding-window": "occlusion",
    "epsilon-plus": "lrp", "epsilon-alpha2-beta1": "lrp", "z-plus": "lrp", "conductance": "ig", "layer-conductance": "ig",
    "attention": "attention-rollout", "raw-attention": "attention-rollout", "attention-flow": "attention-rollout",
    "grad-sam": "generic-attention", "attcat": "generic-attention", "beyond-attention": "transformer-attribution",
    "excitation-backprop": "lrp", "deep-taylor": "lrp",
}  # fmt: skip
"""As in captum, pytorch-grad-cam, shap, xplique, zennit and TorchRay → the nearest method here."""
