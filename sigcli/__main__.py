"""`sig` and `python -m sigcli`."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from .cli.main import app

    app(prog_name="sig")


if __name__ == "__main__":
    main()
