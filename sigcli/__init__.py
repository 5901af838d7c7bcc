"""sig: explain image classifiers with Shapley Integrated Gradients and everything it is compared with."""

__version__ = "0.1.0"
