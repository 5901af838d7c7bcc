"""What the page of a method says beside its line in the catalogue and its docstring: the equation, and when to trust it.

F is the score, x the image, x' the baseline, b_S the image whose players outside the coalition S show x', v(S) = F(b_S),
n the number of players, A_k a channel of the layer, E a mean over draws.
"""

from __future__ import annotations

from typing import NamedTuple


class Note(NamedTuple):
    """An equation in Unicode, and in one or two sentences when the map says what it seems to say."""

    equation: str
    trust: str


_CAM = "Coarse: it says where, not which pixels. On vision transformers it may find the ground, see the numbers below."

NOTES = {
    "sig": Note(
        "φ = E_S[ (x − b_S) ⊙ ∫₀¹ ∇F(b_S + α (x − b_S)) dα ], |S| uniform on 0 … n − 1",
        "A good first choice on photographs. It ranks players like Shapley values but does not converge to "
        "them, and from a black baseline it inherits what black gets wrong (Burnt Snacks): keep the blurred "
        "one, or use `sig-walk`.",
    ),
    "sig-walk": Note(
        "along ∅ → {π₁} → {π₁, π₂} → … → N: φ = E_π[ ∫ ∇F ⊙ dx ], so Σ_(pixels of player i) φ = v(S ∪ i) − v(S)",
        "Sums over players are unbiased Shapley values, with standard errors. Within a player the shares are "
        "those of the gradient. Use it where a number per region must be right.",
    ),
    "ig": Note(
        "φ = (x − x') ⊙ ∫₀¹ ∇F(x' + α (x − x')) dα",
        "As good as its baseline. From black, dark parts of the object get nothing; from blur it is level "
        "with `sig` in many columns. Where the line crosses values that mean something, credit goes to the "
        "wrong pixels (`two-features`).",
    ),
    "eg": Note(
        "φ = E_(r, α) [ (x − r) ⊙ ∇F(r + α (x − r)) ], r another image, α ~ U(0, 1)",
        "Mostly level with `sig` on photographs, given enough other images. It shows traces of those images "
        "where nothing is (`mnist-in-space`: 35 % of the map), and blames light squares in Burnt Snacks.",
    ),
    "agn": Note(
        "φ = E_(ε, α) [ (x − r) ⊙ ∇F(r + α (x − r)) ], r = x + σ ε, ε ~ N(0, 1)",
        "Local: it finds the dark squares of Burnt Snacks, and gives a local minimum the wrong sign (`local-minimum`).",
    ),
    "icg": Note(
        "φ_i = ∫₀¹ ∂F(x, α·1) / ∂c_i dα, c the certainty of the pixels",
        "Only for networks that were trained with certainty. No baseline to choose, no attribution transfer "
        "in Burnt Snacks; as good as the network's information absence and neutrality, which `sig evaluate` "
        "measures.",
    ),
    "gradient": Note(
        "φ = ∇F(x)",
        "What would change the score, not what it is made of. Near chance at locating the object.",
    ),
    "input-x-gradient": Note(
        "φ = (x − x') ⊙ ∇F(x)",
        "`ig` with one point: right where F is linear between baseline and image. On ReLU networks without "
        "biases it equals LRP-ε.",
    ),
    "smoothgrad": Note(
        "φ = E_ε[ ∇F(x + σ ε) ], ε ~ N(0, 1)",
        "A gradient that is easier to look at. It locates better than `gradient`, and far behind path methods.",
    ),
    "gradient-shap": Note(
        "φ = E_(r, ε, α) [ (x + ε − r) ⊙ ∇F(r + α (x + ε − r)) ]",
        "As `eg`, with α drawn at random instead of in strata, so it needs more draws for the same error.",
    ),
    "linear-shap": Note(
        "φ_i = w_i (x_i − x'_i), for F(z) = w · z + b",
        "Exact. It checks that the score is linear, and refuses others.",
    ),
    "blur-ig": Note(
        "φ = ∫ ∇F(B_σ x) ⊙ (∂ B_σ x / ∂σ) dσ, from the widest blur to none",
        "It adds no colour, as black and white baselines do. Mostly level with `sig` at deletion, behind it "
        "at insertion.",
    ),
    "guided-ig": Note(
        "φ = ∫ ∇F(γ) ⊙ dγ, on a path γ that moves the values of small |∂F| first",
        "Its path follows the model, so linearity and symmetry are lost. Behind `sig` in nearly all columns of "
        "the photographs.",
    ),
    "idgi": Note(
        "φ = Σ_j (F(x_(j+1)) − F(x_j)) · g_j ⊙ g_j / |g_j|², g_j = ∇F(x_j)",
        "All values of a step have the sign of its score difference, so it says where and hardly for or "
        "against. It locates very well.",
    ),
    "xrai": Note(
        "A = ½ (IG from black + IG from white); regions by falling mean of A; φ = mean of A over the region "
        "that took the pixel",
        "For whole regions. The regions are of the picture and not of the model: where they cut across the "
        "object, so does the map.",
    ),
    "gradcam": Note(
        "ReLU(Σ_k α_k A_k), α_k = mean over places of ∂F/∂A_k",
        _CAM + " One pass: a quick look at any CNN.",
    ),
    "gradcam-counterfactual": Note(
        "ReLU(Σ_k α_k A_k), α_k = mean over places of −∂F/∂A_k",
        _CAM + " It shows what speaks against the class.",
    ),
    "gradcam++": Note(
        "ReLU(Σ_k w_k A_k), w_k = Σ_ij α_ij ReLU(∂F/∂A_ij), α = 1 / (2 + ∂F/∂A · Σ A)",
        _CAM + " Meant for several objects of a class.",
    ),
    "layercam": Note(
        "ReLU(Σ_k ReLU(∂F/∂A_k) ⊙ A_k)",
        _CAM + " Also of earlier layers; the best of the family on `shapes-vit`.",
    ),
    "xgradcam": Note(
        "ReLU(Σ_k w_k A_k), w_k = Σ_ij A_ij ∂F/∂A_ij / Σ_ij A_ij",
        _CAM,
    ),
    "hirescam": Note(
        "Σ_k ∂F/∂A_k ⊙ A_k",
        _CAM + " Where one linear layer follows, values sum to the score; after average pooling it is Grad-CAM.",
    ),
    "scorecam": Note(
        "ReLU(Σ_k w_k A_k), w = softmax_k F(x' + H_k ⊙ (x − x')), H_k channel k as a mask in 0..1",
        _CAM + " A pass for each channel. With logits the softmax picks a few channels.",
    ),
    "ablationcam": Note(
        "ReLU(Σ_k w_k A_k), w_k = (F − F without A_k) / |F|",
        _CAM + " A pass for each channel.",
    ),
    "eigencam": Note(
        "O V₁, O (places × channels) = U Σ Vᵀ the activations of the layer",
        "It does not depend on the class that is asked for. Fair on `shapes`, and worthless on `shapes-vit`, "
        "where it finds the ground.",
    ),
    "fullgrad": Note(
        "ψ(∂F/∂x ⊙ x) + Σ_layers Σ_channels ψ(∂F/∂z ⊙ b), ψ: magnitude, brought to 0..1, scaled to the image",
        "How much a place matters, whether for or against.",
    ),
    "cam": Note(
        "Σ_k w_k A_k, w the class's row of the last linear layer",
        "Exact for networks that end in pooling and a linear layer: its sum is the logit less its bias. "
        "Others are refused.",
    ),
    "guided-backprop": Note(
        "∇F(x), but at each ReLU: g ← g · [g > 0] · [z > 0]",
        "Sharp outlines, whose inner and outer rims have opposite signs: near chance at locating the object as a whole (ROC "
        "AUC .51). Look at it unsmoothed.",
    ),
    "deconvolution": Note(
        "∇F(x), but at each ReLU: g ← g · [g > 0]",
        "For what a feature looks like, not for what decided. Near chance at locating the object. Look at it unsmoothed.",
    ),
    "guided-gradcam": Note(
        "guided backpropagation ⊙ Grad-CAM scaled to the image",
        "As guided backpropagation, within the area of Grad-CAM.",
    ),
    "deeplift": Note(
        "φ_i = m_i (x_i − x'_i), m by the chain rule of Δoutput / Δinput, layer by layer",
        "Complete in two passes. As good as its reference x'; black is the default.",
    ),
    "deepshap": Note(
        "φ = E_r[ DeepLIFT from r ]",
        "DeepLIFT from other images: among the best at locating in our measurements, for 32 passes.",
    ),
    "lrp": Note(
        "R_i = Σ_j a_i w_ij / (Σ_i a_i w_ij + b_j ± ε) · R_j, from the logit back to the pixels",
        "On the bundled transformer it points at the object more often than other quick methods. On CNNs "
        "LRP-ε is close to `input-x-gradient`: try `rule=gamma`.",
    ),
    "attention-rollout": Note(
        "Â_B ⋯ Â_1, Â = ½ A + ½ I",
        "It does not depend on the class that is asked for. It says where the network looks, in one forward "
        "pass, and spreads over the ground.",
    ),
    "attention-gradient": Note(
        "E_h[ (A ⊙ ∂F/∂A)⁺ ] of the last block",
        "Of the last block only. On `shapes-vit` half of its mass lies on the object, which covers 4 % of the picture.",
    ),
    "generic-attention": Note(
        "R ← R + Ā R, Ā = E_h[ (A ⊙ ∂F/∂A)⁺ ]",
        "A quick map of the place on vision transformers, for the class that is asked for.",
    ),
    "transformer-attribution": Note(
        "Π_blocks (I + E_h[ (R_A ⊙ ∂F/∂A)⁺ ]), R_A the LRP relevance of the attention weights",
        "The quick choice on vision transformers: half of its mass lies on the object, which covers 4 % of "
        "the picture.",
    ),
    "occlusion": Note(
        "φ_i = F(x) − v(N ∖ i)",
        "A true difference of scores, of one patch at a time: where two patches say the same, removing one "
        "changes nothing.",
    ),
    "rise": Note(
        "φ_p = E[ F(x ⊙ M) | M_p = 1 ] − E[ F(x ⊙ M) ], M random smooth masks",
        "For models without gradients. It locates well; 2,000 passes, coarse.",
    ),
    "lime": Note(
        "argmin_w Σ_z π(z) (v(z) − w₀ − w · z)² + λ |w|²",
        "For models without gradients. The regions are of the picture; its values are coefficients, not "
        "shares of the score.",
    ),
    "meaningful-perturbation": Note(
        "argmin_m F(x under m) + λ₁ Σ (1 − m) + λ₂ Σ |∇m|³, φ = 1 − m",
        "The smallest part whose deletion matters. An optimiser's answer: another λ, another area.",
    ),
    "extremal-perturbation": Note(
        "argmax_m F(x under m), m smooth, of a given area, φ = m",
        "The part of a given size that keeps the score. An optimiser's answer for that size.",
    ),
    "bshap": Note(
        "φ_i = Σ_S |S|! (n − |S| − 1)! / n! · (v(S ∪ i) − v(S))",
        "The Shapley value of v(S) = F(b_S): exact up to 11 players by default, with standard errors above.",
    ),
    "shapley-sampling": Note(
        "φ_i = E_π[ v(P ∪ i) − v(P) ], P the players before i in the order π",
        "Unbiased. On GridWorld as exact as `sig-walk` for the same evaluations, without a map within the players.",
    ),
    "kernelshap": Note(
        "argmin_φ Σ_S (n − 1) / (C(n, |S|) |S| (n − |S|)) · (v(S) − v(∅) − Σ_(i∈S) φ_i)²",
        "For models without gradients; on GridWorld it converges faster than `sig-walk`. The coarser the "
        "players, the coarser the map.",
    ),
    "low-order-shap": Note(
        "φ_i = Σ_S |S|! (n − |S| − 1)! / n! · (v(S ∪ i) − v(S))",
        "Exact, of at most 16 players.",
    ),
    "effective-shapley": Note(
        "φ_i = Σ_(j,k) C_jk · j / Σ C_jk, over coalitions of size k that i changes by j ≠ 0 ([ES] Eq. 5)",
        "Ratios only. Permutation sampling ranks better on three of the four GridWorld conditions.",
    ),
    "max-shap": Note(
        "Shapley values of v(S) = max(max_(i∈S) a_i, max_(j∉S) r_j)",
        "Exact. It checks that the score is a maximum, and refuses others.",
    ),
    "qii": Note(
        "φ_i = E_r[ F(x) − F(x with player i of r) ], r another image",
        "As occlusion with other images in place of the patch.",
    ),
}
