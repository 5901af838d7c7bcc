"""The part of the table of methods that holds those which look into a network's layers."""

from __future__ import annotations

from ..catalog import Entry
from .properties import ATTENTION, CHANNELS, COARSE, DIRECT, LAYER, RULED

LAYER_METHODS = [
    Entry(
        "gradcam",
        "methods.cam:gradcam",
        "activations of the last layer that everything passes through, weighted by gradients [Selvaraju 2017]",
        LAYER,
        aliases=("grad-cam", "layer-gradcam"),
    ),
    Entry(
        "gradcam-counterfactual",
        "methods.cam:gradcam_counterfactual",
        "Grad-CAM of the negated gradient: evidence against [Selvaraju 2017]",
        {**LAYER, "unit": "counterfactual Grad-CAM, no unit", "positive": "against"},
    ),
    Entry(
        "gradcam++",
        "methods.cam_weights:gradcam_plus_plus",
        "Grad-CAM with weights from second and third derivatives: several objects of a class [Chattopadhay 2018]",
        {**LAYER, "unit": "Grad-CAM++, no unit"},
        aliases=("gradcam-plus-plus", "gradcampp", "grad-cam++"),
    ),
    Entry(
        "layercam",
        "methods.cam_weights:layercam",
        "activations weighted place by place by positive gradients; earlier layers too [Jiang 2021]",
        {**LAYER, "unit": "LayerCAM, no unit"},
    ),
    Entry(
        "xgradcam",
        "methods.cam_weights:xgradcam",
        "Grad-CAM with the gradients' mean weighted by activations [Fu 2020]",
        {**LAYER, "unit": "XGrad-CAM, no unit"},
    ),
    Entry(
        "hirescam",
        "methods.cam_weights:hirescam",
        "activations times gradients, place by place [Draelos 2020]",
        {**LAYER, "unit": "HiResCAM, no unit"},
        aliases=("gradcam-elementwise",),
    ),
    Entry(
        "scorecam",
        "methods.cam_scores:score_cam",
        "activations weighted by the score of the image under each as a mask [Wang 2020]",
        {**LAYER, **CHANNELS, "unit": "Score-CAM, no unit"},
    ),
    Entry(
        "ablationcam",
        "methods.cam_scores:ablation_cam",
        "activations weighted by the drop of the score without each channel [Desai 2020]",
        {**LAYER, **CHANNELS, "unit": "Ablation-CAM, no unit"},
    ),
    Entry(
        "eigencam",
        "methods.cam_scores:eigencam",
        "first principal component of the activations, whatever the class [Muhammad 2020]",
        {**LAYER, "backward": False, "unit": "Eigen-CAM, no unit", "positive": "salient"},
    ),
    Entry(
        "fullgrad",
        "methods.fullgrad:fullgrad",
        "magnitudes of input times gradient and of every bias times its gradient [Srinivas 2019]",
        {**LAYER, "unit": "FullGrad, no unit", "positive": "salient"},
        aliases=("full-grad", "full-gradient"),
    ),
    Entry("cam", "methods.cam:cam", "class activation map of networks that end in pooling [Zhou 2016]", COARSE),
    Entry(
        "guided-backprop",
        "methods.backprop:guided_backprop",
        "gradient that passes only positive values through active ReLUs [Springenberg 2015]",
        RULED,
        aliases=("guided-backpropagation",),
    ),
    Entry(
        "deconvolution",
        "methods.backprop:deconvolution",
        "gradient that passes only positive values through all ReLUs [Zeiler 2014]",
        RULED,
        aliases=("deconvnet",),
    ),
    Entry(
        "guided-gradcam",
        "methods.backprop:guided_gradcam",
        "guided backpropagation times Grad-CAM [Selvaraju 2017]",
        {**RULED, "unit": "guided Grad-CAM, no unit", "cost": "2", "passes": 2},
        aliases=("guided-grad-cam",),
    ),
    Entry(
        "deeplift",
        "methods.deeplift:deeplift",
        "differences from a reference, propagated by the rescale rule [Shrikumar 2017]",
        {**DIRECT, "complete": True, "axioms": ("completeness", "dummy"), "cost": "2", "passes": 2, "classes": True},
    ),
    Entry(
        "deepshap",
        "methods.deeplift:deepshap",
        "DeepLIFT averaged over other images or noise [Lundberg 2017]",
        {
            **DIRECT,
            "complete": True,
            "sampled": True,
            "classes": True,
            "axioms": ("completeness", "dummy"),
            "cost": "2 × samples",
            "budget": "samples",
            "passes": 32,
        },
        aliases=("deep-shap", "deeplift-shap", "deep-explainer"),
    ),
    Entry(
        "lrp",
        "methods.relevance:lrp",
        "layer-wise relevance propagation, AttnLRP in transformers [Bach 2015, Achtibat 2024]",
        {**DIRECT, "axioms": ("dummy",), "classes": True},
        aliases=("layer-wise-relevance-propagation", "attnlrp", "attn-lrp"),
    ),
    Entry(
        "attention-rollout",
        "methods.attention_maps:attention_rollout",
        "a transformer's attention weights multiplied block by block, whatever the class [Abnar 2020]",
        {**ATTENTION, "backward": False, "unit": "fraction of attention", "positive": "salient"},
        aliases=("rollout",),
    ),
    Entry(
        "attention-gradient",
        "methods.attention_maps:attention_gradient",
        "attention weights of a transformer's last block times their gradients [Serrano 2019]",
        ATTENTION,
        aliases=("attention-x-gradient", "attention-times-gradient", "gradient-x-attention"),
    ),
    Entry(
        "generic-attention",
        "methods.attention_maps:generic_attention",
        "attention times gradient, added up over a transformer's blocks [Chefer 2021b]",
        ATTENTION,
        aliases=("generic-attribution", "generic-attention-explainability", "attention-relevance", "transformer-mm"),
    ),
    Entry(
        "transformer-attribution",
        "methods.attention_maps:transformer_attribution",
        "relevance of attention weights times their gradients, multiplied block by block [Chefer 2021a]",
        {**ATTENTION, "cost": "2", "passes": 2, "classes": True},
        aliases=("chefer", "transformer-lrp"),
    ),
]
