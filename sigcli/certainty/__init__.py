"""Certainty-aware models: what they are trained on, and how to tell whether the training worked.

A certainty-aware model takes (x, c) with a certainty c in 0..1 per pixel and has learnt that a pixel of certainty 0
says nothing; c = 0 then stands for "nothing is known" whatever x is (Integrated Certainty Gradients).
"""
