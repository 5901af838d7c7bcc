"""`sig view`: parse, serve the page of a run on this machine, say how to reach it."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path

from ..gallery.options import ViewOptions
from ..names import printable
from .browser import open_page
from .command import Screen, command


@command(ViewOptions, kept="the page is no longer served", opens=True)
def view(options: ViewOptions, screen: Screen) -> None:
    """Serve the page of a run on 127.0.0.1, to look at a run on a remote machine.

    The address holds a token, and only who has it sees the page.

    Examples:
      sig view sig-out                              prints the address, and the ssh line for another machine

      sig view sig-out --port 8700 --open           on a port of your choice; in the browser of this machine
    """
    from ..gallery.serving import Viewing, page_of

    folder, page = page_of(Path(str(options.run)))
    with Viewing(folder, page, port=options.port) as server:
        port = server.port
        screen.results.add({"url": server.url, "folder": str(folder), "port": port})
        screen.say(f"serving {printable(str(folder))}/ to this machine only; Ctrl-C ends it")
        screen.say(f"from another machine first: ssh -L {port}:127.0.0.1:{port} {_whom()}")
        screen.console.print(server.url, markup=False, soft_wrap=True, highlight=False)
        screen.guard.kept = "the page is no longer served"
        if screen.opens:
            open_page(server.url, server.url, screen)
        server.serve()


def _whom() -> str:
    """Who ssh connects to: this user on this machine."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a container without a name for its user
        return socket.gethostname()
