"""``aiogate top``: a running gateway on one screen, kept up to date, and a way to end what has to end.

``looks`` is what was seen, ``board`` what the person has asked for, ``screen`` how both are shown, ``keys`` what was
pressed, ``command`` puts them together.
"""

from aiogate.cli.top.command import top

__all__ = ["top"]
