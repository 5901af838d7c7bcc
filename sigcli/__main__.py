"""`sig` and `python -m sigcli`."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    import gc
    import warnings

    from .cli.console import flushed
    from .cli.main import app

    # Oversized and damaged pictures are refused with a message of our own; Pillow's warnings would stand beside it.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        with flushed():
            app(prog_name="sig")
    finally:  # the process ends: Python would search all objects of torch for circles, several times, for seconds
        gc.disable()
        gc.freeze()


if __name__ == "__main__":
    main()
