"""`sig` and `python -m sigcli`."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    import warnings

    from .cli.console import flushed
    from .cli.main import app

    # Oversized and damaged pictures are refused with a message of our own; Pillow's warnings would stand beside it.
    warnings.filterwarnings("ignore", module="PIL")
    with flushed():
        app(prog_name="sig")


if __name__ == "__main__":
    main()
